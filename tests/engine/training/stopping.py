"""Stopping a run from within, at a moment that no clock can hit."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from trickster_engine.backends.base import StepResult
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.data.batches import Batch


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Ask for a stop, as a signal would, as soon as this many updates are done."""
    step, calls = TorchBackend.step, itertools.count(1)

    def counting(self: TorchBackend, batches: list[Batch], factor: float) -> StepResult:
        result = step(self, batches, factor)
        if next(calls) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TorchBackend, "step", counting)
        yield


@contextmanager
def stopped_in_evaluation(number: int) -> Iterator[None]:
    """Ask for a stop, as a signal would, where the backend begins its evaluation of this number.

    Two are made at a step: of the training text, and of the validation text.
    """
    evaluate, calls = TorchBackend.evaluate, itertools.count(1)

    def interrupted(self: TorchBackend, batches: Iterator[Batch]) -> float:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self, batches)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TorchBackend, "evaluate", interrupted)
        yield
