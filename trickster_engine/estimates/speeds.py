"""What was measured on this machine, and how long a run will therefore take.

A run of the same shape on the same kind of device is a measurement. Any other is an estimate, from the machine's
calibration (`calibration.py`) or, before there is one, from the run that is closest in computation, corrected by that
computation. A run that is far from it in size says nothing: the time of a tiny update is torch's calls, that of a large
one arithmetic. The figures are kept in the user's cache, so that a new folder knows them as well.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.estimates.calibration import Calibration
from trickster_engine.estimates.compute import forward_flops_per_token, passes_per_update, worth_compiling
from trickster_engine.system.files import read_json, write_json_atomically

FILE = "speeds.json"
#: Step events a run must have before its speed is believed.
FEWEST_READINGS = 2
_KEPT = 64
CARRIED_GAP: Final = 16.0
"""How many times the computation, of a token and of an update, may differ for a speed to be carried over."""
CARRIED_WITHIN: Final = 2.0
"""Such an estimate and the truth differ by no larger a factor, in the runs of docs/speed.md."""
CALIBRATED_WITHIN: Final = 1.3
"""The same of an estimate from a calibration."""


@dataclass(frozen=True)
class Speed:
    """A measured speed."""

    shape: str  # everything of the plan that the speed depends on
    device: str  # cpu, cuda, mps, tt, or the first word of its name
    flops_per_token: float
    tokens_per_second: float
    run: str  # what it was measured in, in words


@dataclass(frozen=True)
class Expected:
    """How long a run is expected to train, evaluations not counted."""

    seconds: float
    source: Literal["measured", "estimated"]
    run: str
    within: float | None = None
    """By what factor it may be wrong, as far as was seen; None of a measurement."""

    def as_words(self) -> str:
        """Where the figure comes from, and how sure it is."""
        sure = f", within a factor of {self.within:g}" if self.within is not None else ""
        return f"{self.source}, from {self.run}{sure}"


def speed_of(plan: Plan, device: str, tokens_per_second: float, run: str) -> Speed:
    """A measurement of a plan; `device` in words, as run.json has it."""
    kind = device.split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0].lower()
    kind = {"tenstorrent": "tt"}.get(kind, kind)
    return Speed(shape_of(plan, kind), kind, _flops_per_token(plan), tokens_per_second, run)


def shape_of(plan: Plan, device: str) -> str:
    """What a run's speed on a kind of device depends on, as text that can be compared."""
    model, training = plan.model, plan.training
    compiled = training.compile == "always" or (training.compile == "auto" and worth_compiling(plan, device))
    return json.dumps(
        [
            [model.vocab_size, model.hidden_dim, model.num_layers, model.num_heads, model.num_kv_heads, model.mlp_dim],
            [model.max_seq_len, model.tie_embeddings, model.dropout > 0],
            [training.batch_size, training.gradient_accumulation_steps, training.optimizer, training.precision],
            [
                compiled,
                training.activation_checkpointing,
                *["taught"] * len(training.teachers),
                *["twice"] * plan.reads_twice,
            ],
            [plan.device.enable_ddp, list(plan.device.mesh_shape), plan.device.sharding],
        ]
    )


def expected_time(plan: Plan, speeds: Iterable[Speed], calibrations: Iterable[Calibration] = ()) -> Expected | None:
    """Expected seconds of training on this machine; None before anything was measured here."""
    tokens = tokens_per_step(plan) * plan.training.max_steps
    wanted = plan.device.device_type
    candidates = [speed for speed in speeds if wanted in ("auto", speed.device)]
    same = [speed for speed in candidates if speed.shape == shape_of(plan, speed.device)]
    if same:
        fastest = max(same, key=lambda speed: speed.tokens_per_second)
        return Expected(tokens / fastest.tokens_per_second, "measured", fastest.run)
    reckoned = [known.seconds(plan) for known in calibrations if wanted in ("auto", known.device)]
    calibrated = [seconds for seconds in reckoned if seconds is not None]
    if calibrated:
        return Expected(min(calibrated), "estimated", "a calibration of this machine", CALIBRATED_WITHIN)
    if reckoned:  # in a format that this machine only emulates: runs in another say nothing about it
        return None
    nearest = min(candidates, key=lambda speed: _gap(speed, plan), default=None)
    if nearest is None or _gap(nearest, plan) > CARRIED_GAP:
        return None
    seconds = tokens * _flops_per_token(plan) / (nearest.tokens_per_second * nearest.flops_per_token)
    return Expected(seconds, "estimated", nearest.run, CARRIED_WITHIN)


def _gap(speed: Speed, plan: Plan) -> float:
    """How many times larger or smaller a measured run's computation is, of a token or of an update."""
    token = speed.flops_per_token / _flops_per_token(plan)
    try:
        [_, [context, *_], [batch, accumulated, *_], *_] = json.loads(speed.shape)
        update = token * float(context) * float(batch) * float(accumulated) / tokens_per_step(plan)
        return math.exp(max(abs(math.log(token)), abs(math.log(update))))
    except (ValueError, TypeError):  # in the form of another version
        return math.inf


def read_speeds(folder: Path) -> list[Speed]:
    """The speeds kept in the cache at `folder`; none where it holds none of this machine."""
    try:
        document = read_json(folder / FILE)
        speeds = [Speed(**entry) for entry in document[platform.node()]]
        return [speed for speed in speeds if min(speed.flops_per_token, speed.tokens_per_second) > 0]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep_speeds(folder: Path, speeds: Iterable[Speed]) -> None:
    """Add speeds to those kept; one of the same shape and device takes the place of the older. Raises OSError."""
    known = {(speed.shape, speed.device): speed for speed in read_speeds(folder)}
    for speed in speeds:
        known.pop((speed.shape, speed.device), None)
        known[(speed.shape, speed.device)] = speed
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomically(folder / FILE, {platform.node(): [asdict(speed) for speed in list(known.values())[-_KEPT:]]})


def _flops_per_token(plan: Plan) -> float:
    return float(passes_per_update(plan) * forward_flops_per_token(plan.model))
