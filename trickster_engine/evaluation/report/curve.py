"""The training and validation loss of a run, and whether it overfits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trickster_engine.runs.event_types import EvalEvent

#: A rise of the validation loss smaller than this, in nats, may be chance.
_RISE = 0.005
#: The gap is large if more than this share of the fall in training loss does not carry over.
LARGE_GAP = 0.1
#: A gap that has grown by less than this, in nats, is no sign: the training text is measured on a probe of it only.
_GROWN = 0.05
#: Measurements after the first that it takes to tell a course.
ENOUGH = 3


@dataclass(frozen=True)
class LossPoint:
    """One evaluation; losses in nats/token."""

    step: int
    train_loss: float
    val_loss: float


@dataclass(frozen=True)
class Overfitting:
    """Whether the model overfits, and its generalisation gap: validation loss - training loss.

    `overfits`: the validation loss has risen from its lowest, at `step`, while the training loss kept falling.
    `large gap`: it has not risen, but the training loss is far below it. `too early`: too few measurements to tell.
    `generalises`: none of these.
    """

    verdict: Literal["overfits", "large gap", "too early", "generalises"]
    step: int | None  # from where on it overfits; None for the other verdicts
    best_step: int  # the evaluation with the lowest validation loss
    gap_at_best: float  # nats between validation and training loss
    gap_at_end: float
    #: The share of the fall in training loss that does not carry over to validation text: growth of the gap over fall
    #: of the training loss. None if that has not fallen.
    gap_share: float | None
    words: str


def loss_points(evaluations: Sequence[EvalEvent]) -> list[LossPoint]:
    """The evaluations of a run as points."""
    return [LossPoint(event["step"], event["train_loss"], event["val_loss"]) for event in evaluations]


def perplexity(loss: float) -> float:
    """As many equally likely tokens are as hard to guess. As in the run's events, no loss makes it infinite."""
    return math.exp(min(loss, 700.0))


def find_overfitting(points: Sequence[LossPoint]) -> Overfitting | None:
    """Say whether the model overfits; None without an evaluation."""
    if not points:
        return None
    first, last = points[0], points[-1]
    best = min(points, key=lambda point: point.val_loss)
    gap = last.val_loss - last.train_loss
    grown, learned = gap - (first.val_loss - first.train_loss), first.train_loss - last.train_loss
    gap_share = max(0.0, grown) / learned if learned > _GROWN else None
    overfits = last.step > best.step and last.val_loss > best.val_loss + _RISE and last.train_loss < best.train_loss
    large_gap = gap_share is not None and gap_share > LARGE_GAP and grown > _GROWN
    verdict: Literal["overfits", "large gap", "too early", "generalises"]
    if overfits:
        verdict = "overfits"
        words = (
            f"The model overfits from step {best.step:,}: the training loss kept falling, to {last.train_loss:.3f}, "
            f"while the validation loss rose from {best.val_loss:.3f} to {last.val_loss:.3f}. It memorises its "
            "training text."
        )
    elif large_gap:
        verdict = "large gap"
        words = (
            f"The generalisation gap is large: at the end the validation loss, {last.val_loss:.3f}, is {gap:.3f} nats "
            f"above the training loss, and {gap_share:.0%} of the fall in training loss does not carry over to "
            "validation text. The model knows its training text much better than other text of its kind."
        )
        if len(points) <= ENOUGH:
            words += f" With {_measurements(len(points) - 1)} it is too early to say when that began."
    elif len(points) <= ENOUGH:
        verdict = "too early"
        words = (
            f"It is too early to say whether the model overfits: there is {_measurements(len(points) - 1)}. The "
            f"validation loss is {last.val_loss:.3f}, the training loss {last.train_loss:.3f}."
        )
    else:
        verdict = "generalises"
        lowest = (
            f"No overfitting: the validation loss was lowest at the end, {last.val_loss:.3f}."
            if last.step == best.step
            else f"No clear overfitting: the validation loss was lowest at step {best.step:,} ({best.val_loss:.3f}) "
            f"and ended at {last.val_loss:.3f}."
        )
        words = f"{lowest} It is {abs(gap):.3f} nats {'above' if gap >= 0 else 'below'} the training loss"
        words += (
            "."
            if gap_share is None
            else (f"; {1 - gap_share:.0%} of the fall in training loss carries over to validation text.")
        )
    return Overfitting(
        verdict, best.step if overfits else None, best.step, best.val_loss - best.train_loss, gap, gap_share, words
    )


def _measurements(count: int) -> str:
    """How often the losses were measured after the first time, in words."""
    if count == 0:
        return "no evaluation after the first"
    return f"only {'one evaluation' if count == 1 else f'{count} evaluations'} after the first"
