"""What a run has come to: its events, folded one by one into a state of bounded size. The only such fold."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trickster_engine.errors import TricksterError
from trickster_engine.runs.event_types import (
    FINAL_STATUSES,
    CheckpointEvent,
    ErrorEvent,
    EvalEvent,
    Event,
    Status,
    StepEvent,
)
from trickster_engine.runs.planned import planned_steps
from trickster_engine.runs.skim import skim

if TYPE_CHECKING:
    from trickster_engine.runs.directory import RunDirectory

#: An event's status, or `interrupted` where the trainer is gone and did not say goodbye.
Standing = Literal[
    "starting",
    "preparing",
    "training",
    "evaluating",
    "stopping",
    "stopped",
    "finished",
    "failed",
    "interrupted",
]
#: Of a run that saves every few steps for days, the newest checkpoints are known, and the best.
CHECKPOINTS_KNOWN = 500
SPEEDS_KNOWN = 200


class RunState:
    """A run up to the last event that was fed. Events come checked, from `runs.events`."""

    def __init__(self) -> None:
        self.status: Status = "starting"
        self.step = 0
        self.created = 0.0  # when the first event was written; 0 before
        self.updated = 0.0  # when the last one was
        self.stepped = False  # whether it has taken a step since it was last started
        self.last_step: StepEvent | None = None
        self.last_eval: EvalEvent | None = None
        self.best_val_loss: float | None = None
        self.error: ErrorEvent | None = None  # why it ended; None while it goes on
        self.saved_step: int | None = None  # of the newest checkpoint
        self.speeds: deque[float] = deque(maxlen=SPEEDS_KNOWN)  # tokens/s, lately
        self.checkpoints: dict[str, CheckpointEvent] = {}  # by path, oldest first

    def feed(self, event: Event) -> None:
        """Take in one event."""
        self.updated = event["t"]
        self.created = self.created or event["t"]
        if event["kind"] == "status":
            self.status, self.step = event["status"], event["step"]
            if self.status == "starting":
                self.stepped = False
            if not self.ended:
                self.error = None
        elif event["kind"] == "step":
            self.step, self.last_step, self.stepped = event["step"], event, True
            if event["tokens_per_s"] > 0:
                self.speeds.append(event["tokens_per_s"])
        elif event["kind"] == "eval":
            self.last_eval, loss = event, event["val_loss"]
            self.best_val_loss = loss if self.best_val_loss is None else min(self.best_val_loss, loss)
        elif event["kind"] == "checkpoint":
            self.saved_step = event["step"]
            self._add_checkpoint(event)
        elif event["kind"] == "error":
            self.error = event

    def feed_all(self, events: Iterable[Event]) -> None:
        """Take in events in their order."""
        for event in events:
            self.feed(event)

    @property
    def ended(self) -> bool:
        """Whether the trainer has said its last word."""
        return self.status in FINAL_STATUSES

    def standing(self, *, live: bool) -> Standing:
        """Where the run stands; `live` says whether a trainer holds it."""
        if not live and not self.ended:
            return "interrupted"
        if live and self.ended:
            return "stopping"  # the last word is written, and the process is about to end
        return self.status

    def _add_checkpoint(self, event: CheckpointEvent) -> None:
        if event["best"]:
            for path, earlier in self.checkpoints.items():
                if earlier["best"]:
                    self.checkpoints[path] = {**earlier, "best": False}
        self.checkpoints.pop(event["path"], None)
        self.checkpoints[event["path"]] = event
        if len(self.checkpoints) > CHECKPOINTS_KNOWN:
            del self.checkpoints[next(path for path, one in self.checkpoints.items() if not one["best"])]


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows."""

    id: str
    path: Path
    config_path: str | None
    status: Standing
    live: bool
    step: int
    max_step: int | None
    train_loss: float | None
    val_loss: float | None
    best_val_loss: float | None
    eta_s: float | None
    created: float
    updated: float
    left_out: int = 0  # lines of events.jsonl that were not understood
    troubles: tuple[str, ...] = ()  # which of its files cannot be used, and why


def summarize(run: RunDirectory) -> RunSummary:
    """Read a run's events and fold them into one line of a list. Never raises for what its files hold."""
    live = run.is_live()  # asked before reading: what a trainer wrote before it ended is then read
    state, left_out, troubles = RunState(), 0, []
    for piece in skim(run.events_path):
        state.feed_all(piece.events)
        left_out += piece.left_out
        if piece.trouble:
            troubles.append(f"{run.events_path} {piece.trouble}.")
    identity, max_step = None, planned_steps(run)
    try:
        identity = run.identity()
        if max_step is None:
            run.readable_plan()
    except TricksterError as error:
        troubles.append(error.message)
    return RunSummary(
        id=run.id,
        path=run.path,
        config_path=str(run.origin(identity)) if identity else None,
        status=state.standing(live=live),
        live=live,
        step=state.step,
        max_step=max_step,
        train_loss=state.last_step["loss"] if state.last_step else None,
        val_loss=state.last_eval["val_loss"] if state.last_eval else None,
        best_val_loss=state.best_val_loss,
        eta_s=state.last_step["eta_s"] if state.last_step and live else None,
        created=state.created,
        updated=state.updated,
        left_out=left_out,
        troubles=tuple(troubles),
    )
