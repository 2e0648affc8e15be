"""How long a run takes on this machine, learned from runs that were measured here.

A run of the same shape on the same device is a measurement. Any other is an estimate: the speed of the run that is
closest in size, corrected by the computation a token takes. The best figures are kept in the user's cache, so that a
new folder knows them as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import platform
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickster_engine.config.plan import Plan
from trickster_server import boards, figures
from trickster_server.protocol import EstimateSource

if TYPE_CHECKING:
    from trickster_server.app import TricksterServer

logger = logging.getLogger(__name__)

_FILE = "speeds.json"
_KEPT = 64
_FEWEST = 2
"""Step events a run must have before its speed is believed."""


@dataclass(frozen=True)
class Speed:
    """A measured speed."""

    shape: str
    """Everything of the plan that the speed depends on."""
    device: str
    flops_per_token: float
    tokens_per_second: float
    run: str


@dataclass(frozen=True)
class Expected:
    """How long a run is expected to take."""

    seconds: float
    source: EstimateSource
    run: str


@dataclass(frozen=True)
class Row:
    """One line of the table in a hover."""

    where: str
    seconds: float
    source: EstimateSource
    note: str


def shape_of(plan: Plan) -> str:
    """What a run's speed depends on, as text that can be compared."""
    model, training = plan.model, plan.training
    return json.dumps(
        [
            [model.vocab_size, model.hidden_dim, model.num_layers, model.num_heads, model.num_kv_heads, model.mlp_dim],
            [model.max_seq_len, model.tie_embeddings, model.dropout > 0],
            [training.batch_size, training.gradient_accumulation_steps, training.optimizer, training.precision],
        ]
    )


class Timing:
    """Speeds measured on this machine."""

    def __init__(self, server: TricksterServer) -> None:
        self._server = server
        self._speeds: dict[tuple[str, str], Speed] = {}
        self._dirty = asyncio.Event()

    def training_time(self, plan: Plan) -> Expected | None:
        """Expected seconds of training on this machine; None before anything was measured here."""
        tokens = figures.tokens_per_step(plan) * plan.training.max_steps
        candidates = [speed for speed in self._speeds.values() if _suits(plan.device.device_type, speed.device)]
        shape = shape_of(plan)
        same = [speed for speed in candidates if speed.shape == shape]
        if same:
            fastest = max(same, key=lambda speed: speed.tokens_per_second)
            return Expected(tokens / fastest.tokens_per_second, "measured", fastest.run)
        if not candidates:
            return None
        work = figures.flops_per_token(plan)
        nearest = min(candidates, key=lambda speed: abs(math.log(speed.flops_per_token / work)))
        speed = nearest.tokens_per_second * nearest.flops_per_token / work
        return Expected(tokens / speed, "estimated", nearest.run)

    def table(self, plan: Plan) -> list[Row]:
        """Expected times on this machine and on the boards that the lesson names."""
        rows: list[Row] = []
        here = self.training_time(plan)
        if here is not None:
            rows.append(Row("this machine", here.seconds, here.source, f", from {here.run}"))
        for board in boards.BOARDS:
            seconds, source = boards.training_time(board, plan)
            rows.append(Row(board.name, seconds, source, ""))
        return rows

    def runs_changed(self) -> None:
        """Look at the runs again when there is time."""
        self._dirty.set()

    async def keep_current(self) -> None:
        """Learn from runs for as long as the server lives."""
        loop = asyncio.get_running_loop()
        self._take(await loop.run_in_executor(None, _read_kept))
        await self._server.registry.ready()
        while True:
            before = dict(self._speeds)
            self._take(self._measured())
            if self._speeds != before:
                self._server.refresh_figures()
                await loop.run_in_executor(None, _keep, list(self._speeds.values()))
            self._dirty.clear()
            await self._dirty.wait()
            await asyncio.sleep(2.0)

    def _take(self, speeds: list[Speed]) -> None:
        for speed in speeds:
            self._speeds[(speed.shape, speed.device)] = speed

    def _measured(self) -> list[Speed]:
        found = []
        for run in self._server.registry.runs():
            identity, plan = run.identity, run.plan
            if identity is None or plan is None or len(run.speeds) < _FEWEST or identity.host != platform.node():
                continue
            found.append(
                Speed(
                    shape_of(plan),
                    _device_kind(identity.device),
                    figures.flops_per_token(plan),
                    statistics.median(run.speeds),
                    run.directory.path.name,
                )
            )
        return found


def _device_kind(device: str) -> str:
    """`cuda:0` and `NVIDIA …` are one kind of device on one machine."""
    return device.split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0].lower()


def _suits(device_type: str, device: str) -> bool:
    return device_type in ("auto", device)


def _file() -> Path:
    from trickster_server.environment import cache_folder

    return cache_folder() / _FILE


def _read_kept() -> list[Speed]:
    try:
        document = json.loads(_file().read_text(encoding="utf-8"))
        return [Speed(**entry) for entry in document[platform.node()]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _keep(speeds: list[Speed]) -> None:
    from trickster_engine.files import write_json_atomically

    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(_file(), {platform.node(): [asdict(speed) for speed in speeds[-_KEPT:]]})
    except OSError as error:
        logger.debug("Speeds are not kept: %s", error)
