"""Times a few small models, to learn what each kind of work costs on this machine: some seconds in all."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.torch.bf16 import cpu_emulates_bf16
from trickster_engine.bench.updates import Lap, Updates
from trickster_engine.config import preset_plan
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.calibration import Amounts, Calibration, gradient_work, update_work

#: Models are this many times as wide, and batches as large, on a GPU: small ones would only time its starting.
_GPU_SCALE = 4
_ROUNDS = 2
_FEWEST_LAPS = 2
_SECONDS = 0.1
#: A process that computes and does not get this share of one core, over so many seconds, shares it with others.
_OWN_SHARE = 0.8
_SETTLED_SECONDS = 3.0


@dataclass(frozen=True)
class Probe:
    """A model to time. Together they vary each kind of work against the others."""

    width: int
    layers: int
    heads: int
    context: int
    sequences: int
    optimizer: str
    kv_heads: int | None = None
    vocabulary: int = 256
    dropout: float = 0.0

    def plan(self, precision: str, scale: int) -> Plan:
        """What to time, `scale` times as large."""
        base = preset_plan("pico")
        model = replace(
            base.model,
            vocab_size=self.vocabulary,
            hidden_dim=scale * self.width,
            mlp_dim=3 * scale * self.width,
            num_layers=self.layers,
            num_heads=self.heads,
            num_kv_heads=self.kv_heads or self.heads,
            max_seq_len=self.context,
            dropout=self.dropout,
        )
        training = replace(
            base.training,
            batch_size=scale * self.sequences,
            gradient_accumulation_steps=1,
            optimizer=self.optimizer,
            precision=precision,
            compile="never",
        )
        return replace(base, model=model, training=training)


PROBES = (
    Probe(64, 2, 2, 64, 8, "adamw"),
    Probe(64, 2, 2, 256, 4, "muon"),
    Probe(128, 4, 4, 128, 16, "muon"),
    Probe(128, 4, 4, 128, 4, "adamw"),
    Probe(128, 4, 4, 512, 4, "adamw", kv_heads=2, vocabulary=1024),
    Probe(256, 6, 8, 256, 2, "adamw", dropout=0.1),
    Probe(256, 4, 8, 512, 2, "adamw"),
    Probe(256, 2, 8, 64, 16, "muon"),
    Probe(384, 2, 6, 256, 4, "muon"),
)


def calibrate(device: str) -> Calibration:
    """Time the probes on cpu, cuda or mps.

    Raises TricksterError: machine-busy, where other programs leave so little of the processor that the figures would
    be wrong for good.
    """
    began, busy_before = time.perf_counter(), time.process_time()

    def check_quiet() -> None:
        seconds = time.perf_counter() - began
        if device == "cpu" and seconds > _SETTLED_SECONDS:
            share = (time.process_time() - busy_before) / seconds
            if share < _OWN_SHARE:
                raise TricksterError(
                    "machine-busy",
                    f"Other programs use the CPU: only {share:.0%} of a core was free for timing. The measurement was "
                    "discarded.",
                    "Run `trickster estimate --calibrate` when the machine is idle.",
                )

    scale = 1 if device == "cpu" else _GPU_SCALE
    precisions = ("fp32",) if device == "cpu" and cpu_emulates_bf16() else ("fp32", "bf16")
    updates: dict[str, list[tuple[Amounts, float]]] = {"adamw": [], "muon": []}
    gradients: dict[str, list[tuple[Amounts, float]]] = {precision: [] for precision in precisions}
    timed = []
    for precision, probe in itertools.product(gradients, PROBES):
        timed.append((precision, probe.optimizer, Updates(probe.plan(precision, scale), device), list[Lap]()))
        check_quiet()
    # In rounds, so that a moment in which the machine is slower meets all of them.
    for _ in range(_ROUNDS):
        for _, _, probe_updates, laps in timed:
            laps.extend(_laps(probe_updates))
            check_quiet()
    for precision, optimizer, probe_updates, laps in timed:
        plan = probe_updates.plan
        lap = sorted(laps, key=lambda lap: lap.seconds)[(len(laps) - 1) // 2]
        passes = lap.phases["forward"] + lap.phases["backward"]
        gradients[precision].append((gradient_work(plan, precision, device), passes))
        updates[optimizer].append((update_work(plan.model, optimizer, precision, device), lap.seconds - passes))
    return Calibration(
        device,
        gradients={precision: costs(readings) for precision, readings in gradients.items()},
        updates={optimizer: costs(readings) for optimizer, readings in updates.items()},
    )


def _laps(updates: Updates) -> list[Lap]:
    updates.lap(1)  # not counted: another probe has left its own data in the processor's caches
    laps: list[Lap] = []
    while len(laps) < _FEWEST_LAPS or sum(lap.seconds for lap in laps) < _SECONDS:
        laps.append(updates.lap(1))
    return laps


def costs(readings: Sequence[tuple[Amounts, float]]) -> dict[str, float]:
    """What a unit of each kind of work takes, never less than nothing, so that the relative errors are smallest."""
    names = list(readings[0][0])
    seconds = np.array([reading for _, reading in readings])
    work = np.array([[amounts[name] for name in names] for amounts, _ in readings]) / seconds[:, None]
    best: NDArray[np.float64] = np.zeros(len(names))
    smallest = np.inf
    # A few kinds of work: all choices of those that cost anything can be tried.
    for count in range(1, len(names) + 1):
        for chosen in itertools.combinations(range(len(names)), count):
            found = np.linalg.lstsq(work[:, chosen], np.ones(len(seconds)), rcond=None)[0]
            error = float(np.sum((work[:, chosen] @ found - 1.0) ** 2))
            if (found >= 0).all() and error < smallest:
                smallest, best = error, np.zeros(len(names))
                best[list(chosen)] = found
    return {name: float(cost) for name, cost in zip(names, best, strict=True)}
