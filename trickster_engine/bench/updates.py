"""Timing the updates of a config, phase by phase, on the very code that trains."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from trickster_engine.backends.base import Batch, StepResult
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.bench.peak import wait_for
from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.data.batches import TrainingBatches
from trickster_engine.model.llama import Llama

PHASES = ("data", "forward", "backward", "optimizer")


@dataclass
class Lap:
    """Several updates in a row: seconds in all, and seconds in each phase."""

    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))


class TimedBackend(TorchBackend):
    """A torch backend that notes where the time of an update goes. `lap` is where it is noted.

    To tell a GPU's phases apart it waits for the end of each, which an update does not do by itself: `detailed` is for
    the phases, and without it an update takes the time that it takes in training.
    """

    lap: Lap = Lap()
    detailed = False

    def __init__(self, plan: Plan, device: str) -> None:
        # What a teacher's weights are does not change how long it takes; its shape is reckoned to be the model's.
        teachers = [Llama(replace(plan.model, dropout=0.0)).initialize(0) for _ in plan.training.teachers]
        super().__init__(plan, device, teachers=teachers)
        if plan.data.mask_documents:  # any token takes the place of the one that ends a document
            for model in (self.model, *self._teachers):
                model.model.document_end = plan.model.vocab_size - 1
        for name in ("clip_gradients", "step", "zero_grad"):
            setattr(self._optimizers, name, self._timed_call("optimizer", getattr(self._optimizers, name)))

    def step(self, micro_batches: Sequence[Batch], factor: float) -> StepResult:
        """Do one update, and note what of it was neither forward pass nor optimizer: that is the backward pass."""
        if not self.detailed:
            return super().step(micro_batches, factor)
        before = dict(self.lap.phases)
        start = self._now()
        result = super().step(micro_batches, factor)
        seconds = self._now() - start
        known = sum(self.lap.phases[phase] - before[phase] for phase in ("forward", "optimizer"))
        self.lap.phases["backward"] += seconds - known
        return result

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        with self.timed("forward"):
            return super()._loss(inputs, targets)

    def _timed_call(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: object, **named: object) -> object:
            with self.timed(phase):
                return function(*arguments, **named)

        return timed

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Count what happens inside as time of a phase."""
        if not self.detailed:
            yield
            return
        start = self._now()
        yield
        self.lap.phases[phase] += self._now() - start

    def _now(self) -> float:
        wait_for(self._device.type)
        return time.perf_counter()


class Updates:
    """Updates of a plan on tokens that are drawn at random: what they say does not change how long they take."""

    def __init__(self, plan: Plan, device: str) -> None:
        """Open the device, compile where the plan says so, and do one update that does not count."""
        self.plan = plan
        self.backend = TimedBackend(plan, device)
        length, batch_size = plan.model.max_seq_len, plan.training.batch_size
        tokens = np.random.default_rng(0).integers(0, plan.model.vocab_size, 64 * batch_size * length + 1)
        self._batches = TrainingBatches(tokens, length, batch_size, seed=0)
        self._step = 0
        self.lap(1)

    def lap(self, updates: int, detailed: bool = True) -> Lap:
        """Time that many updates, and unless `detailed` is false the phases of each."""
        self.backend.lap = lap = Lap()
        self.backend.detailed = detailed
        accumulation = self.plan.training.gradient_accumulation_steps
        start = time.perf_counter()
        for _ in range(updates):
            with self.backend.timed("data"):
                micro_batches = [self._batches.batch(self._step, index, accumulation) for index in range(accumulation)]
            # A learning rate of zero: random text teaches nothing, and the weights stay those of an ordinary model.
            self.backend.step(micro_batches, 0.0)
            self._step += 1
        wait_for(self.backend.model.device.type)
        lap.seconds = time.perf_counter() - start
        return lap


def steady_rate(plan: Plan, device: str, seconds: float = 5.0) -> float:
    """Tokens a second in training, from the middle one of at least three updates and about `seconds` of them."""
    updates = Updates(plan, device)
    laps = [updates.lap(1, detailed=False).seconds]
    while len(laps) < 3 or sum(laps) < seconds:
        laps.append(updates.lap(1, detailed=False).seconds)
    return tokens_per_step(plan) / statistics.median(laps)
