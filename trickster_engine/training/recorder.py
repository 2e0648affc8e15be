"""Writes down what happens in a run, and passes it on to whoever watches in the same process."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol

from trickster_engine.backends.base import LayerStatistics
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.runs import SAMPLES_FILE, EventLog, RunDirectory, RunIdentity
from trickster_engine.runs.event_types import (
    ActionEvent,
    BaselinesEvent,
    CheckpointEvent,
    ErrorEvent,
    EvalEvent,
    Event,
    LayersEvent,
    SampleEvent,
    Status,
    StatusEvent,
    StepEvent,
    WarningEvent,
)
from trickster_engine.system.files import open_to_append
from trickster_engine.system.printable import printable_text


class _LogFile(logging.Handler):
    """`log.txt`. A line that cannot be written costs that line, and no run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._file = open_to_append(path)

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            _write_whole(self._file.fileno(), self.format(record) + "\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        super().close()


def _write_whole(descriptor: int, text: str) -> None:
    """Append a text. Raises OSError."""
    data = memoryview(text.encode("utf-8", "replace"))
    while data:
        data = data[os.write(descriptor, data) :]


class Watcher(Protocol):
    """Somebody in the same process who wants to see the run as it happens."""

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Data and device are there; training is about to begin."""

    def event(self, event: Event) -> None:
        """Something was written down."""


class Recorder:
    """The one place that events go through: `events.jsonl` first, then `samples.md`, `log.txt` and the watchers."""

    def __init__(self, run: RunDirectory, log_path: Path, watchers: Sequence[Watcher] = ()) -> None:
        self._run = run
        self._watchers = list(watchers)
        self._log = logging.Logger(run.id, logging.INFO)
        self._last_eval: EvalEvent | None = None
        with ExitStack() as opened:  # all three or none; held open, so that they stay this run's wherever it is moved
            self._events = EventLog(run.events_path)
            opened.callback(self._events.close)
            log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log.addHandler(_LogFile(log_path))
            opened.callback(self._close_log)
            self._samples = open_to_append(run.path / SAMPLES_FILE)
            opened.pop_all()

    def ready(self, plan: Plan, identity: RunIdentity) -> None:
        """Data and device are there; training is about to begin."""
        self._tell(lambda watcher: watcher.ready(self._run, plan, identity))

    def status(self, status: Status, step: int, message: str | None = None) -> None:
        """The run enters a phase."""
        self._log.info("%s at step %d%s", status, step, f": {message}" if message else "")
        self._write(StatusEvent(t=time.time(), kind="status", status=status, step=step, message=message))

    def stopping(self, step: int) -> None:
        """Somebody asked for a stop."""
        self.action("stop", step, self._run.stop_origin())
        self.status("stopping", step)

    def step(self, event: StepEvent) -> StepEvent:
        """Updates were made."""
        self._write(event)
        return event

    def evaluation(self, step: int, train_loss: float, val_loss: float) -> EvalEvent:
        """Both losses were measured."""
        perplexity = math.exp(min(val_loss, 700.0))
        event = EvalEvent(
            t=time.time(), kind="eval", step=step, train_loss=train_loss, val_loss=val_loss, perplexity=perplexity
        )
        self._log.info("step %d: train %.4f, val %.4f, perplexity %.2f", step, train_loss, val_loss, perplexity)
        self._last_eval = event
        self._write(event)
        return event

    def layers(self, step: int, found: LayerStatistics) -> LayersEvent:
        """Every layer was measured."""
        event = LayersEvent(
            t=time.time(),
            kind="layers",
            step=step,
            grad_norm=found.grad_norm,
            update_ratio=found.update_ratio,
            weight_norm=found.weight_norm,
            activation_rms=found.activation_rms,
            attention_entropy=found.attention_entropy,
            dead_neurons=found.dead_neurons,
            effective_rank=found.effective_rank,
            changed_by_future=found.changed_by_future,
            order=found.order,
        )
        self._write(event)
        return event

    def baselines(self, step: int, nats: dict[str, float]) -> None:
        """The n-gram baselines were counted."""
        self._write(BaselinesEvent(t=time.time(), kind="baselines", step=step, nats=nats))

    def sample(self, step: int, prompt: str, text: str) -> None:
        """The model wrote something."""
        self._write(SampleEvent(t=time.time(), kind="sample", step=step, prompt=prompt, text=text))
        losses = ""
        if self._last_eval and self._last_eval["step"] == step:
            train, val = self._last_eval["train_loss"], self._last_eval["val_loss"]
            losses = f"train {train:.4f} · val {val:.4f} · perplexity {self._last_eval['perplexity']:.2f}\n\n"
        # A fence longer than any run of backticks in the text keeps the text from ending it.
        fence = "````"
        while fence in prompt + text:
            fence += "`"
        written = f"## Step {step:,}\n\n{losses}{fence}text\n{printable_text(prompt + text)}\n{fence}\n\n"
        _write_whole(self._samples.fileno(), written)

    def checkpoint(self, step: int, path: Path, val_loss: float | None, best: bool) -> None:
        """A checkpoint is whole."""
        shown = path.relative_to(self._run.path) if path.is_relative_to(self._run.path) else path
        self._write(
            CheckpointEvent(
                t=time.time(), kind="checkpoint", step=step, path=shown.as_posix(), val_loss=val_loss, best=best
            )
        )

    def action(self, action: Literal["start", "stop"], step: int, origin: str) -> None:
        """An agent, and no person, had the run started or stopped; nothing where `origin` is empty."""
        if origin:
            self._log.info("%s asked for by %s", action, origin)
            self._write(ActionEvent(t=time.time(), kind="action", step=step, action=action, origin=origin))

    def warning(self, code: str, message: str, advice: str) -> None:
        """Something the person should know."""
        self._log.warning("%s %s", message, advice)
        self._write(WarningEvent(t=time.time(), kind="warning", code=code, message=message, advice=advice))

    def error(self, error: TricksterError) -> None:
        """Why the run ends."""
        self._log.error("%s %s", error.message, error.advice)
        self._write(
            ErrorEvent(t=time.time(), kind="error", code=error.code, message=error.message, advice=error.advice)
        )

    def exception(self, error: BaseException) -> None:
        """A defect of ours: keep the traceback for a bug report."""
        self._log.error("unexpected failure", exc_info=error)

    def close(self) -> None:
        """Close the files. What was written is written; nothing that fails here may hide how the run has ended."""
        self._close_log()
        for file in (self._events, self._samples):
            with contextlib.suppress(OSError):
                file.close()

    def _close_log(self) -> None:
        for handler in list(self._log.handlers):
            handler.close()

    def _write(self, event: Event) -> None:
        self._events.write(event)
        self._tell(lambda watcher: watcher.event(event))

    def _tell(self, news: Callable[[Watcher], None]) -> None:
        """A terminal that was closed, a pipe whose reader has ended or a tracker that fails ends no training."""
        for watcher in list(self._watchers):
            try:
                news(watcher)
            except Exception as error:
                self._watchers.remove(watcher)
                self._log.warning("%s stopped following: %r", type(watcher).__name__, error)


class SilentRecorder(Recorder):
    """For the processes of a run that leave the writing to the first."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._log = logging.Logger(run.id, logging.CRITICAL + 1)
        self._last_eval = None

    def ready(self, plan: Plan, identity: RunIdentity) -> None:
        """Say nothing."""

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, event: Event) -> None:
        pass
