"""The two losses over a run, and whether they come apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trickster_engine.runs.event_types import EvalEvent

#: A rise of the held-out loss smaller than this, in nats, is within what luck does.
_RISE = 0.005
#: The losses are apart where more than this share of what was learned on training text does not hold on held-out text.
APART = 0.1
#: A gap that has grown by less than this, in nats, is no sign: the training text is measured on a probe of it only.
_GROWN = 0.05
#: Measurements after the first that it takes to tell a course.
ENOUGH = 3


@dataclass(frozen=True)
class LossPoint:
    """One evaluation; losses in nats a token."""

    step: int
    train_loss: float
    val_loss: float


@dataclass(frozen=True)
class Parting:
    """Whether the losses stay together.

    `parted`: the held-out loss has risen from its lowest, at `step`, while the training loss went on falling. `apart`:
    it has not risen, but the training loss has run away from it. `early`: too few measurements to tell. `together`:
    none of these.
    """

    verdict: Literal["parted", "apart", "early", "together"]
    step: int | None  # where they parted; None for the other verdicts
    best_step: int  # the evaluation with the lowest held-out loss
    gap_at_best: float  # nats between held-out and training loss
    gap_at_end: float
    #: Of the nats learned on training text since the first measurement, the share that does not hold on held-out text:
    #: how much the gap has grown over how much the training loss has fallen. None where that has not fallen.
    unshared: float | None
    words: str


def loss_points(evaluations: Sequence[EvalEvent]) -> list[LossPoint]:
    """The evaluations of a run as points."""
    return [LossPoint(event["step"], event["train_loss"], event["val_loss"]) for event in evaluations]


def perplexity(loss: float) -> float:
    """As many equally likely tokens are as hard to guess. As in the run's events, no loss makes it infinite."""
    return math.exp(min(loss, 700.0))


def find_parting(points: Sequence[LossPoint]) -> Parting | None:
    """Say whether the model began to learn by heart; None without an evaluation."""
    if not points:
        return None
    first, last = points[0], points[-1]
    best = min(points, key=lambda point: point.val_loss)
    gap = last.val_loss - last.train_loss
    grown, learned = gap - (first.val_loss - first.train_loss), first.train_loss - last.train_loss
    unshared = max(0.0, grown) / learned if learned > _GROWN else None
    parted = last.step > best.step and last.val_loss > best.val_loss + _RISE and last.train_loss < best.train_loss
    apart = unshared is not None and unshared > APART and grown > _GROWN
    verdict: Literal["parted", "apart", "early", "together"]
    if parted:
        verdict = "parted"
        words = (
            f"They part at step {best.step:,}. From there on the loss on training text went on falling, to "
            f"{last.train_loss:.3f}, while the loss on held-out text rose from {best.val_loss:.3f} to "
            f"{last.val_loss:.3f}: the model was learning by heart."
        )
    elif apart:
        verdict = "apart"
        words = (
            f"They have come apart: at the end the held-out loss, {last.val_loss:.3f}, lies {gap:.3f} nats above the "
            f"loss on training text. Of what was learned there, {unshared:.0%} does not hold on held-out text: the "
            "model knows its training text much better than other text of its kind."
        )
        if len(points) <= ENOUGH:
            words += f" With {_measurements(len(points) - 1)} it is too early to say from where on."
    elif len(points) <= ENOUGH:
        verdict = "early"
        words = (
            f"It is too early to say whether they part: with {_measurements(len(points) - 1)} there is no course yet. "
            f"The held-out loss is {last.val_loss:.3f}, the loss on training text {last.train_loss:.3f}."
        )
    else:
        verdict = "together"
        lowest = (
            f"They have not parted: the held-out loss was at its lowest, {last.val_loss:.3f}, at the end."
            if last.step == best.step
            else f"They have not clearly parted: the held-out loss was lowest at step {best.step:,} "
            f"({best.val_loss:.3f}) and ended at {last.val_loss:.3f}."
        )
        words = f"{lowest} It lies {abs(gap):.3f} nats {'above' if gap >= 0 else 'below'} the loss on training text"
        words += "." if unshared is None else f"; {1 - unshared:.0%} of what was learned there holds on held-out text."
    return Parting(
        verdict, best.step if parted else None, best.step, best.val_loss - best.train_loss, gap, unshared, words
    )


def _measurements(count: int) -> str:
    """How often the losses were measured after the first time, in words."""
    if count == 0:
        return "no measurement after the first"
    return f"only {'one measurement' if count == 1 else f'{count} measurements'} after the first"
