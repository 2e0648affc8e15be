"""How long until a model has learned to a given validation loss: ours, and nanoGPT's recipe for the same device.

Losses are in nats/character, whatever the tokenizer: a token of several characters is harder to guess than one
character, and there are fewer of them. A tokenizer that is learned from the text has learned something before the first
step, so its time counts. What is compiled, is compiled before the clock starts, on both sides; `compiling_s` says how
long that took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.bench.nanogpt import NanoGPT, recipe_for
from trickster_engine.bench.peak import wait_for
from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.data.batches import training_batches, validation_windows
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.make_tokenizer import train_bpe
from trickster_engine.data.prepare_text import BPE_TRAINING_CHARACTERS
from trickster_engine.estimates.learning_rate import learning_rate_factor

_EVALUATED_TOKENS_AT_ONCE = 4096


@dataclass(frozen=True)
class Reading:
    """Where a run stood: seconds of learning alone, characters read, and the loss on all validation text.

    The loss is in nats/character.
    """

    step: int
    seconds: float
    characters: int
    val_loss: float


@dataclass(frozen=True)
class Result:
    """A run, to its target or to its end."""

    readings: list[Reading]
    reached: Reading | None
    compiling_s: float = 0.0  # before the clock starts: opening the device, and what is compiled

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "reached": vars(self.reached) if self.reached else None,
            "best_val_loss": min(reading.val_loss for reading in self.readings),
            "compiling_s": self.compiling_s,
            "readings": [vars(reading) for reading in self.readings],
        }


def lead(ours: Result, theirs: Result) -> dict[str, Any]:
    """How many times as fast ours reached the target, as JSON; nothing where it did not.

    `at_least`: the rival ended short of the target, and would have needed longer than the time of its whole run.
    """
    if ours.reached is None:
        return {}
    arrival = theirs.reached or theirs.readings[-1]
    return {"times_as_fast": arrival.seconds / ours.reached.seconds, "at_least": theirs.reached is None}


def run_ours(plan: Plan, dataset: Dataset, device: str, until: float, report: Callable[[Reading], None]) -> Result:
    """Train a plan, evaluating at every `eval_interval`, until the validation loss is at most `until`, or to its end.

    `until` is in nats/character. The seconds begin with the learning of the tokenizer, where it is a BPE.
    """
    begun = _seconds_of_bpe(plan, dataset)
    opened = time.perf_counter()
    backend = TorchBackend(plan, device)
    backend.model.model.document_end = dataset.tokenizer.end_id if plan.data.mask_documents else None
    compiling = time.perf_counter() - opened
    length, training = plan.model.max_seq_len, plan.training
    batches = training_batches(plan, dataset.train, dataset.tokenizer.vocab_size, dataset.tokenizer.end_id)
    accumulation = training.gradient_accumulation_steps
    rows = max(1, _EVALUATED_TOKENS_AT_ONCE // length)

    def update(step: int) -> None:
        micro_batches = [batches.batch(step, index, accumulation) for index in range(accumulation)]
        backend.step(micro_batches, learning_rate_factor(step, training))

    def evaluate() -> float:
        return backend.evaluate(validation_windows(dataset.val, length, rows)) / dataset.characters_per_token

    characters_per_step = tokens_per_step(plan) * dataset.train_characters / len(dataset.train)
    course = _Course(training.max_steps, training.eval_interval, characters_per_step, device)
    try:
        return replace(_run(update, evaluate, course, until, report, begun), compiling_s=compiling)
    finally:
        backend.close()


def run_nanogpt(
    checkout: Path, dataset: Dataset, device: str, until: float, report: Callable[[Reading], None]
) -> Result:
    """Train nanoGPT by its recipe for this device on the same split of the same text, a token a character as it has it.

    Its tokens are characters whatever ours are, so its loss is in nats/character.
    """
    text = dataset.train_text() + dataset.val_text()
    alphabet, tokens = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)
    train, val = np.split(tokens.astype(np.uint32), [len(text) - dataset.val_characters])
    recipe = recipe_for(device)
    training = recipe.training
    opened = time.perf_counter()
    rival = NanoGPT(checkout, recipe.shape, len(alphabet), training, torch.device(device), recipe.dropout)
    if device == "cuda":
        rival.prepare()
    compiling = time.perf_counter() - opened
    per_step = training.batch_size * recipe.shape["block_size"]
    course = _Course(training.max_steps, training.eval_interval, per_step, device)
    result = _run(lambda step: rival.update(train, step), lambda: rival.evaluate(val), course, until, report)
    return replace(result, compiling_s=compiling)


def _seconds_of_bpe(plan: Plan, dataset: Dataset) -> float:
    if plan.data.tokenizer != "bpe":
        return 0.0
    text = dataset.train_text(BPE_TRAINING_CHARACTERS)
    start = time.perf_counter()
    train_bpe([text], plan.model.vocab_size)
    return time.perf_counter() - start


@dataclass(frozen=True)
class _Course:
    steps: int
    eval_interval: int
    characters_per_step: float
    device: str

    def evaluated(self) -> Iterator[int]:
        yield from range(self.eval_interval, self.steps, self.eval_interval)
        yield self.steps


def _run(
    update: Callable[[int], object],
    evaluate: Callable[[], float],
    course: _Course,
    until: float,
    report: Callable[[Reading], None],
    seconds: float = 0.0,
) -> Result:
    readings: list[Reading] = []
    step = 0
    for next_stop in course.evaluated():
        start = time.perf_counter()
        while step < next_stop:
            update(step)
            step += 1
        wait_for(course.device)
        seconds += time.perf_counter() - start
        reading = Reading(step, seconds, round(step * course.characters_per_step), evaluate())
        readings.append(reading)
        report(reading)
        if reading.val_loss <= until:
            return Result(readings, reading)
    return Result(readings, None)
