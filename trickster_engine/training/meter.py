"""Speeds and means between two step events."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from trickster_engine.config.plan import Plan
from trickster_engine.runs.event_types import StepEvent

#: A step event comes at every `log_interval`, and for slow models also this often, so that nobody wonders.
MAX_SECONDS_BETWEEN_EVENTS = 2.0
#: Updates to time before saying how long the rest will take.
ENOUGH_STEPS = 3


class Meter:
    """Counts updates and their time. Speeds leave evaluations out; the time left counts them, as a person waits."""

    def __init__(self, plan: Plan) -> None:
        training = plan.training
        self._interval = training.log_interval
        self._max_steps = training.max_steps
        self._tokens = training.batch_size * training.gradient_accumulation_steps * plan.model.max_seq_len
        self._started = self._lap_started = time.perf_counter()
        self._steps = 0
        self._losses: list[float] = []
        self._norms: list[float] = []

    def add(self, loss: float, grad_norm: float) -> None:
        """Count one update."""
        self._losses.append(loss)
        self._norms.append(grad_norm)
        self._steps += 1
        if self._steps == 1:  # it paid for caches, threads and, on some devices, compiling: no measure of the rest
            self._started = time.perf_counter()

    def due(self, step: int) -> bool:
        """Whether a step event is due after this many updates."""
        waited = time.perf_counter() - self._lap_started
        return step % self._interval == 0 or step == self._max_steps or waited > MAX_SECONDS_BETWEEN_EVENTS

    def lap(self, step: int, learning_rate: float) -> StepEvent:
        """The event of this step: loss and norm are means over the updates since the one before. Begins the next."""
        now = time.perf_counter()
        count = len(self._losses)
        timed = self._steps - 1
        event = StepEvent(
            t=time.time(),
            kind="step",
            step=step,
            loss=math.fsum(self._losses) / count,
            lr=learning_rate,
            grad_norm=math.fsum(self._norms) / count,
            tokens_per_s=count * self._tokens / max(now - self._lap_started, 1e-9),
            # Not while too few updates have been timed.
            eta_s=(now - self._started) / timed * (self._max_steps - step) if timed >= ENOUGH_STEPS else None,
            mfu=None,
        )
        self._losses.clear()
        self._norms.clear()
        self._lap_started = now
        return event

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave what happens inside out of the speed."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._lap_started += time.perf_counter() - began
