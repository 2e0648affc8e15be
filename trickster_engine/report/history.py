"""What a run came to over all its sittings, each thing counted once: it may have been stopped, killed and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trickster_engine.events import Event


@dataclass(frozen=True)
class History:
    """The events that led to the newest checkpoint, and the time that training took."""

    events: list[Event]  # without the steps that a killed process lost and a later one made again
    step: int  # of the newest checkpoint
    seconds: float  # of training and evaluating, lost steps included; pauses between sittings are not
    sittings: int  # times that a process trained


def history(events: Sequence[Event]) -> History:
    """Fold the events of a run. What came after the newest checkpoint led to no weights and is left out."""
    saved = max((index for index, event in enumerate(events) if event["kind"] == "checkpoint"), default=-1)
    done = _step(events[saved]) if saved >= 0 else 0
    kept: list[Event] = []
    seconds, sittings = 0.0, 0
    seen: float | None = None  # when this sitting's training was last heard of; None before it began
    for index, event in enumerate(events):
        starting = event["kind"] == "status" and event["status"] == "starting"
        if index > saved and (starting or _step(event) > done):
            break
        if starting:
            seen = None
            kept = [earlier for earlier in kept if _step(earlier) <= _step(event)]
        if seen is not None:
            seconds += event["t"] - seen
            seen = event["t"]
        elif event["kind"] == "status" and event["status"] == "training":
            seen, sittings = event["t"], sittings + 1
        kept.append(event)
    return History(kept, done, seconds, sittings)


def _step(event: Event) -> int:
    """The step an event speaks of; 0 for a warning or an error, which belong to none."""
    if event["kind"] == "warning" or event["kind"] == "error":
        return 0
    return event["step"]
