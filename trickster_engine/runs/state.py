"""The state of a run: its events, folded one by one. The only such fold: lists, the dashboard and reports ask it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trickster_engine.errors import TricksterError
from trickster_engine.runs.event_types import (
    FINAL_STATUSES,
    ActionEvent,
    CheckpointEvent,
    ErrorEvent,
    EvalEvent,
    Event,
    Status,
    StepEvent,
    WarningEvent,
)
from trickster_engine.runs.events import Piece
from trickster_engine.runs.hold import LOCK_FILE
from trickster_engine.runs.planned import planned_steps
from trickster_engine.runs.skim import skim

if TYPE_CHECKING:
    from trickster_engine.runs.directory import RunDirectory

#: An event's status, or `interrupted` where the trainer is gone and did not say goodbye.
Standing = Literal[Status, "interrupted"]
#: Where a run stands that can be resumed, if it ever began. Elsewhere a trainer holds it, or all its steps are done.
RESUMABLE: frozenset[Standing] = frozenset({"stopped", "failed", "interrupted"})
#: Of a run that saves every few steps for days, the newest checkpoints are known, and the best.
CHECKPOINTS_KNOWN = 500
SPEEDS_KNOWN = 200
NOTICES_KNOWN = 3
ACTIONS_KNOWN = 3


class RunState:
    """A run up to the last event that was fed. Events come checked, from `runs.events`. Its size is bounded."""

    def __init__(self) -> None:
        self.read = 0  # bytes of events.jsonl that were taken in
        self.left_out = 0  # lines of them that were not understood
        self.status: Status = "starting"
        self.step = 0  # that the last event speaks of
        self.created = 0.0  # when the first event was written; 0 before
        self.updated = 0.0  # when the last one was
        self.stepped = False  # whether it has taken a step since it was last started
        self.seconds = 0.0  # of training and evaluating, lost steps included; pauses between sittings are not
        self.sittings = 0  # times that a process trained
        self.last_step: StepEvent | None = None
        self.last_eval: EvalEvent | None = None
        self.times_evaluated = 0
        self.baselines: dict[str, float] = {}  # counted beside training; else they stand in `run.json`
        self.best_val_loss: float | None = None
        self.error: ErrorEvent | None = None  # why it ended; None while it goes on
        self.notices: deque[WarningEvent | ErrorEvent] = deque(maxlen=NOTICES_KNOWN)  # the newest, oldest first
        self.actions: deque[ActionEvent] = deque(maxlen=ACTIONS_KNOWN)  # of agents, the newest, oldest first
        self.saved_step: int | None = None  # of the newest checkpoint
        self.speeds: deque[float] = deque(maxlen=SPEEDS_KNOWN)  # tokens/s, lately
        self.checkpoints: dict[str, CheckpointEvent] = {}  # by path, oldest first
        self._training = False  # since the status `training` of this sitting

    def take(self, piece: Piece) -> None:
        """Take in what one read of the file has found."""
        self.read = piece.after
        self.left_out += piece.left_out
        for event in piece.events:
            self.feed(event)

    def feed(self, event: Event) -> None:
        """Take in one event."""
        if event["kind"] == "status" and event["status"] == "starting":
            self._training = self.stepped = False
            self.go_back(event["step"])
        if self._training:
            self.seconds += max(0.0, event["t"] - self.updated)
        self.updated = event["t"]
        self.created = self.created or event["t"]
        if event["kind"] == "warning":
            self.notices.append(event)
        elif event["kind"] == "error":
            self.notices.append(event)
            self.error = event
        else:
            self.step = event["step"]
        if event["kind"] == "status":
            self._enter(event["status"])
        elif event["kind"] == "step":
            self.last_step, self.stepped = event, True
            if event["tokens_per_s"] > 0:
                self.speeds.append(event["tokens_per_s"])
        elif event["kind"] == "eval":
            self.last_eval, loss = event, event["val_loss"]
            self.times_evaluated += 1
            self.best_val_loss = loss if self.best_val_loss is None else min(self.best_val_loss, loss)
        elif event["kind"] == "action":
            self.actions.append(event)
        elif event["kind"] == "baselines":
            self.baselines = event["nats"]
        elif event["kind"] == "checkpoint":
            self.saved_step = event["step"]
            self._add_checkpoint(event)

    def go_back(self, step: int) -> None:
        """Training starts from a checkpoint of this step: what came after it is made again. Figures need no change."""

    def _enter(self, status: Status) -> None:
        self.status = status
        if status == "training" and not self._training:
            self._training = True
            self.sittings += 1
        if not self.ended and self.error is not None:  # it was resumed: what ended the sitting before is over
            self.error = None
            self.notices = deque((one for one in self.notices if one["kind"] == "warning"), NOTICES_KNOWN)

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


def action_words(action: ActionEvent) -> str:
    """Who did what, for people: `started by claude-code 2.1.0`, `stopped by … at step 20`."""
    if action["action"] == "start":
        return f"started by {action['origin']}"
    return f"stopped by {action['origin']} at step {action['step']:,}"


def state_at(path: Path) -> RunState:
    """The state that the events at `path` come to."""
    state = RunState()
    for piece in skim(path):
        state.take(piece)
    return state


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
    best_bits_per_byte: float | None  # None too where the bytes of its text are not known
    baselines: dict[str, float]  # validation losses by name; the uniform one alone until counted
    eta_s: float | None
    created: float
    updated: float
    actions: tuple[str, ...] = ()  # what agents did, and which, in words
    left_out: int = 0  # lines of events.jsonl that were not understood
    troubles: tuple[str, ...] = ()  # which of its files cannot be used, and why
    notices: tuple[WarningEvent | ErrorEvent, ...] = ()  # the newest warnings, alerts among them, and what ended it


def summarize(run: RunDirectory) -> RunSummary:
    """Read a run's events and fold them into one line of a list. Never raises for what its files hold."""
    liveness = run.liveness()  # asked before reading: what a trainer wrote before it ended is then read
    live = liveness != "idle"
    state, troubles = RunState(), []
    if liveness == "unknown":
        troubles.append(f"{run.path / LOCK_FILE} cannot be read: whether this run is being trained is not known.")
    for piece in skim(run.events_path):
        state.take(piece)
        if piece.trouble:
            troubles.append(f"{run.events_path} {piece.trouble}.")
    identity, max_step = None, planned_steps(run)
    try:
        identity = run.identity()
        if max_step is None:
            run.plan()
    except TricksterError as error:
        troubles.append(error.message)
    best = state.best_val_loss
    return RunSummary(
        id=run.id,
        path=run.path,
        notices=tuple(state.notices),
        config_path=str(run.origin(identity)) if identity else None,
        status=state.standing(live=live),
        live=live,
        step=state.step,
        max_step=max_step,
        train_loss=state.last_step["loss"] if state.last_step else None,
        val_loss=state.last_eval["val_loss"] if state.last_eval else None,
        best_val_loss=best,
        best_bits_per_byte=identity.bits_per_byte(best) if identity and best is not None else None,
        baselines=state.baselines or (identity.baselines if identity else {}),
        eta_s=state.last_step["eta_s"] if state.last_step and live else None,
        created=state.created,
        updated=state.updated,
        actions=tuple(map(action_words, state.actions)),
        left_out=state.left_out,
        troubles=tuple(troubles),
    )
