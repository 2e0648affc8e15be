"""The figures of `trickster bench`, for one config on this machine. Everything is taken several times, in turns."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trickster_engine.bench.nanogpt import NanoGPT, same_shape
from trickster_engine.bench.peak import matrix_peak, wait_for
from trickster_engine.bench.updates import PHASES, Updates
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.estimates.compute import count_compute
from trickster_engine.inference.sampling import SamplingOptions, generate
from trickster_engine.system.processes import peak_memory

SAMPLED_TOKENS = 512


@dataclass(frozen=True)
class Spread:
    """Several readings of one figure."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, readings: Sequence[float]) -> Spread:
        """The spread of readings."""
        return cls(statistics.median(readings), min(readings), max(readings))

    def as_json(self) -> dict[str, float]:
        """As plain JSON."""
        return vars(self)


@dataclass(frozen=True)
class Figures:
    """What one config reaches here. Rates are per second, times in seconds, memory in bytes."""

    config: dict[str, Any]
    machine: dict[str, Any]
    tokens_per_s: Spread
    phases_s: dict[str, Spread]
    utilisation: float
    sampled_tokens_per_s: Spread
    peak_memory: int | None
    against: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "config": self.config,
            "machine": self.machine,
            "tokens_per_s": self.tokens_per_s.as_json(),
            "phases_s": {name: spread.as_json() for name, spread in self.phases_s.items()},
            "utilisation": self.utilisation,
            "sampled_tokens_per_s": self.sampled_tokens_per_s.as_json(),
            "peak_memory": self.peak_memory,
            **({"against": self.against} if self.against else {}),
        }


def measure(plan: Plan, device: str, updates: int, repeats: int, nanogpt: Path | None = None) -> Figures:
    """Time `repeats` laps of `updates` updates each, and as many texts of 512 tokens.

    With `nanogpt`, a checkout, its model of the same shape takes turns with ours, lap by lap and text by text.
    Raises TricksterError where the checkout is none.
    """
    place = torch.device(device)
    peaks = {name: matrix_peak(place, dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    ours = Updates(plan, device)
    rival = NanoGPT(nanogpt, same_shape(plan.model), plan.model.vocab_size, plan.training, place) if nanogpt else None
    tokens = np.random.default_rng(0).integers(0, plan.model.vocab_size, 1 << 18).astype(np.uint16)
    if rival:
        rival.update(tokens, 0)
    laps, detailed, their_seconds = [], [], []
    for _ in range(repeats):
        # Phases cost a CPU next to nothing; on a GPU they are timed in laps of their own.
        laps.append(ours.lap(updates, detailed=device == "cpu"))
        detailed.append(laps[-1] if device == "cpu" else ours.lap(updates))
        if rival:
            their_seconds.append(_seconds(lambda: [rival.update(tokens, 0) for _ in range(updates)], device))
    held = peak_memory()

    model = ours.backend.sampling_model()
    options = SamplingOptions(max_new_tokens=SAMPLED_TOKENS, temperature=0.8)
    prompt = [1, 2, 3, 4, 5, 6]
    list(generate(model, [prompt], SamplingOptions(max_new_tokens=8)))
    texts, their_texts = [], []
    for _ in range(repeats):
        texts.append(_seconds(lambda: list(generate(model, [prompt], options))))
        if rival:
            their_texts.append(_seconds(lambda: rival.generate(prompt, SAMPLED_TOKENS)))

    per_lap = updates * tokens_per_step(plan)
    rates = Spread.of([per_lap / lap.seconds for lap in laps])
    precision = ours.backend.precision
    compute = count_compute(plan)
    against = None
    if rival:
        against = {
            "parameters": rival.parameters,
            "tokens_per_s": Spread.of([per_lap / seconds for seconds in their_seconds]).as_json(),
            "times_as_fast": _ratios(their_seconds, [lap.seconds for lap in laps]).as_json(),
            "sampled_tokens_per_s": Spread.of([SAMPLED_TOKENS / seconds for seconds in their_texts]).as_json(),
            "times_as_fast_sampling": _ratios(their_texts, texts).as_json(),
        }
    return Figures(
        config={
            "parameters": count_parameters(plan.model).total,
            "tokens_per_step": tokens_per_step(plan),
            "flops_per_step": compute.per_step,
            "precision": precision,
            "compiled": ours.backend.compiled,
        },
        machine={
            "device": ours.backend.device,
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "peak_flops": peaks,
            "versions": ours.backend.versions,
        },
        tokens_per_s=rates,
        phases_s={phase: Spread.of([lap.phases[phase] / updates for lap in detailed]) for phase in PHASES}
        | {"other": Spread.of([(lap.seconds - sum(lap.phases.values())) / updates for lap in detailed])},
        utilisation=compute.per_step / tokens_per_step(plan) * rates.median / peaks[precision],
        sampled_tokens_per_s=Spread.of([SAMPLED_TOKENS / seconds for seconds in texts]),
        peak_memory=held,
        against=against,
    )


def _seconds(work: Callable[[], object], device: str = "cpu") -> float:
    start = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - start


def _ratios(theirs: Sequence[float], ours: Sequence[float]) -> Spread:
    """How many times as fast ours was, pair by pair."""
    return Spread.of([their / our for their, our in zip(theirs, ours, strict=True)])
