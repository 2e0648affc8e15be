"""What a run came to over all its sittings, each thing counted once: it may have been stopped, killed and resumed.

A run of a million events is folded like one of a hundred: its file is read piece by piece, and curves are thinned as
they grow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from trickster_engine.runs import RunState, pieces
from trickster_engine.runs.event_types import EvalEvent, Event, LayersEvent, SampleEvent, StepEvent

#: Up to so many, every point is kept; of more, at least half as many, evenly spread.
EVALUATIONS = 2_000
STEPS = 4_000
SAMPLES = 200

One = TypeVar("One")


class History(RunState):
    """The state of a run with what led to it: what made the weights that there are, without what a killed process lost.

    Of two events of a step, the later one is of the weights that training went on with. The evaluation with the lowest
    validation loss and the last of each are always among them.
    """

    def __init__(self, prompt: str | None = None) -> None:
        """Only samples of `prompt` are kept, where it is given."""
        super().__init__()
        self._prompt = prompt
        self._evaluations: Thinned[EvalEvent] = Thinned(EVALUATIONS)
        self._best: EvalEvent | None = None
        self._steps: Thinned[StepEvent] = Thinned(STEPS)
        self._samples: Thinned[SampleEvent] = Thinned(SAMPLES)
        self.layers: LayersEvent | None = None  # the newest in which an update was measured

    @property
    def evaluations(self) -> list[EvalEvent]:
        """In the order of their steps, as the other two."""
        evaluations = {event["step"]: event for event in self._evaluations.values()}
        if self._best is not None:
            evaluations.setdefault(self._best["step"], self._best)
        return [event for _, event in sorted(evaluations.items())]

    @property
    def steps(self) -> list[StepEvent]:
        """Step events."""
        return self._steps.values()

    @property
    def samples(self) -> list[SampleEvent]:
        """Samples of the prompt."""
        return self._samples.values()

    def feed(self, event: Event) -> None:
        """Take in one event."""
        super().feed(event)
        if event["kind"] == "eval":
            self._evaluations.put(event["step"], event)
            if self._best is None or event["val_loss"] < self._best["val_loss"] or event["step"] == self._best["step"]:
                self._best = event
        elif event["kind"] == "step":
            self._steps.put(event["step"], event)
        elif event["kind"] == "sample" and self._prompt in (None, event["prompt"]):
            self._samples.put(event["step"], event)
        elif event["kind"] == "layers" and event["grad_norm"]:
            self.layers = event

    def go_back(self, step: int) -> None:
        """Forget what came after the checkpoint that training starts from."""
        for curve in (self._evaluations, self._steps, self._samples):
            curve.drop_after(step)
        if self.layers is not None and self.layers["step"] > step:
            self.layers = None
        if self._best is not None and self._best["step"] > step:
            self._best = min(self._evaluations.values(), key=lambda event: event["val_loss"], default=None)


def history(path: Path, *, prompt: str | None = None, saved_only: bool = False) -> History:
    """Fold the events of a run.

    `saved_only` leaves out what came after the newest checkpoint: it led to no weights.
    """
    past = History(prompt)
    saved, saved_step = _newest_checkpoint(path) if saved_only else (None, 0)
    number = 0
    for piece in pieces(path):
        if saved is None:
            past.take(piece)
            continue
        for event in piece.events:
            if number > saved and (_starts(event) or _step(event) > saved_step):
                return past
            past.feed(event)
            number += 1
    return past


def _newest_checkpoint(path: Path) -> tuple[int, int]:
    """Which event tells of it, and of which step it is; before all events where none was saved."""
    newest, number = (-1, 0), 0
    for piece in pieces(path):
        for event in piece.events:
            if event["kind"] == "checkpoint":
                newest = number, event["step"]
            number += 1
    return newest


class Thinned(Generic[One]):
    """Values by step: all of them up to `most`, and then every second, every fourth and so on, and the last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[int, One] = {}
        self._last: tuple[int, One] | None = None
        self._seen, self._stride = 0, 1

    def put(self, step: int, value: One) -> None:
        """Take in one value; of two of a step, the later one counts."""
        self._last = step, value
        if self._seen % self._stride == 0 or step in self._kept:
            self._kept[step] = value
        self._seen += 1
        if len(self._kept) > self._most:
            self._kept = dict(sorted(self._kept.items())[::2])
            self._stride *= 2

    def drop_after(self, step: int) -> None:
        """Forget what belongs to a later step."""
        self._kept = {at: value for at, value in self._kept.items() if at <= step}
        if self._last is not None and self._last[0] > step:
            self._last = None

    def values(self) -> list[One]:
        """What is left, in the order of steps."""
        by_step = {**self._kept, **dict([self._last] if self._last else [])}
        return [value for _, value in sorted(by_step.items(), key=lambda item: item[0])]


def _starts(event: Event) -> bool:
    return event["kind"] == "status" and event["status"] == "starting"


def _step(event: Event) -> int:
    """The step an event speaks of; 0 for a warning or an error, which belong to none."""
    if event["kind"] == "warning" or event["kind"] == "error":
        return 0
    return event["step"]
