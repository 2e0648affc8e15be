"""The two losses over a run, and where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickster_engine.events import EvalEvent, Event

#: A rise of the held-out loss smaller than this, in nats, is within what luck does.
_RISE = 0.005


@dataclass(frozen=True)
class LossPoint:
    """One evaluation; losses in nats a token."""

    step: int
    train_loss: float
    val_loss: float


@dataclass(frozen=True)
class Parting:
    """Where the losses part. `step` is the evaluation with the lowest held-out loss; None where they never part."""

    step: int | None
    best_step: int
    gap_at_best: float  # nats between held-out and training loss
    gap_at_end: float
    words: str


def loss_points(events: Sequence[Event]) -> list[LossPoint]:
    """The evaluations of a run in the order of their steps; after a resume the later one of a step counts."""
    by_step: dict[int, EvalEvent] = {}
    for event in events:
        if event["kind"] == "eval":
            by_step[event["step"]] = event
    return [LossPoint(step, event["train_loss"], event["val_loss"]) for step, event in sorted(by_step.items())]


def find_parting(points: Sequence[LossPoint]) -> Parting | None:
    """Say whether the model began to learn by heart; None without an evaluation."""
    if not points:
        return None
    best = min(points, key=lambda point: point.val_loss)
    last = points[-1]
    gap_at_best, gap_at_end = best.val_loss - best.train_loss, last.val_loss - last.train_loss
    parted = last.step > best.step and last.val_loss > best.val_loss + _RISE and last.train_loss < best.train_loss
    if parted:
        words = (
            f"They part at step {best.step:,}. From there on the loss on training text went on falling, to "
            f"{last.train_loss:.3f}, while the loss on held-out text rose from {best.val_loss:.3f} to "
            f"{last.val_loss:.3f}: the model was learning by heart."
        )
    elif last.step == best.step:
        words = (
            f"They have not parted: the held-out loss was at its lowest, {best.val_loss:.3f}, at the end. It lies "
            f"{gap_at_end:.3f} nats above the loss on training text."
        )
    else:
        words = (
            f"They have not clearly parted: the held-out loss was lowest at step {best.step:,} ({best.val_loss:.3f}) "
            f"and ended at {last.val_loss:.3f}."
        )
    return Parting(best.step if parted else None, best.step, gap_at_best, gap_at_end, words)
