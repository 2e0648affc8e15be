"""`training_config.tracking`: the same figures in TensorBoard or, without a network, in Weights & Biases.

A killed run has reported more steps than it goes on from. Both trackers show one curve all the same: TensorBoard hears
from where on it is written again, and W&B gets a new offline log of the same run, with the curve up to there.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, RunIdentity, pieces
from trickster_engine.runs.event_types import Event
from trickster_engine.training.recorder import Watcher

#: Event kind -> the fields that become curves.
CURVES = {
    "step": ("loss", "lr", "grad_norm", "tokens_per_s"),
    "eval": ("train_loss", "val_loss", "perplexity"),
}


class Tracker(Watcher):
    """A watcher that has files of its own to close."""

    #: After how many updates a resumed run goes on, and whether their evaluation is reported already.
    resumed_from: tuple[int, bool] | None = None

    def close(self) -> None:
        """Write out what is left."""


def make_tracker(plan: Plan) -> Tracker | None:
    """The tracker a plan names, or None. Raises TricksterError where its package is not installed."""
    kind = plan.training.tracking
    if kind == "none":
        return None
    try:
        return TensorBoardTracker() if kind == "tensorboard" else WandbTracker()
    except ImportError as error:
        raise TricksterError(
            "tracking-unavailable",
            f"training_config.tracking is {kind}, but this Python has no {kind} package.",
            f"Install it with: pip install {kind}. Or set tracking: none; events.jsonl has the same figures.",
        ) from error


class TensorBoardTracker(Tracker):
    """Writes `<run>/tensorboard`; look at it with `tensorboard --logdir runs`."""

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._make_writer: Any = SummaryWriter
        self._writer: Any = None

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Open the log and note the config."""
        step, measured = self.resumed_from or (0, False)
        purged = None if self.resumed_from is None else step + measured
        sort_before_a_new_log(run.path / "tensorboard", int(time.time()))
        self._writer = self._make_writer(str(run.path / "tensorboard"), purge_step=purged)
        if purged == step:  # hidden with the evaluation that is made up for
            for event in reported_events(run.events_path, step, measured=False):
                if event_step(event) == step:
                    self.event(event)
        text = run.config_text()
        self._writer.add_text("config", f"```yaml\n{text}\n```", purged or 0)

    def event(self, event: Event) -> None:
        """Add an event's figures to their curves."""
        if self._writer is None:
            return
        for name, value in figures(event).items():
            self._writer.add_scalar(name, value, event_step(event))
        if event["kind"] == "sample":
            self._writer.add_text("sample", f"````text\n{event['prompt']}{event['text']}\n````", event["step"])

    def close(self) -> None:
        """Write out what is left."""
        if self._writer is not None:
            self._writer.close()


def sort_before_a_new_log(folder: Path, now: int) -> None:
    """Rename the logs in a folder that TensorBoard would read after one begun `now` (seconds since 1970).

    It reads them in the order of their names: the second a log was begun in, the machine, the process. A run killed in
    its first second, or a clock that was set back, would have the curve read from its end.
    """
    late = [log for log in sorted(folder.glob(f"{_LOG}*")) if _second(log) >= now - 1]
    if late and _second(late[-1]) >= now:
        for order, log in enumerate(late):
            rest = log.name.removeprefix(_LOG).partition(".")[2]
            with contextlib.suppress(OSError):  # Windows keeps one that TensorBoard has open
                log.rename(log.with_name(f"{_LOG}{now - 1:010d}.{order:04d}.{rest}"))


_LOG = "events.out.tfevents."


def _second(log: Path) -> int:
    """The second in a log's name; 0 where there is none, as nothing of TensorBoard's is called so."""
    digits = log.name.removeprefix(_LOG).partition(".")[0]
    return int(digits) if digits.isdecimal() else 0


class WandbTracker(Tracker):
    """Writes `<run>/wandb` offline; `wandb sync` uploads it if and when the person wants that.

    W&B has a run overwritten by a later log under the same id, so the newest one holds the whole curve.
    """

    def __init__(self) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = None

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Open the offline log and note the config."""
        before = list((run.path / "wandb").glob(f"{_OFFLINE}*"))
        self._run = self._wandb.init(
            mode="offline",
            project="trickster",
            name=run.id,
            id=identity.uid or None,
            dir=str(run.path),
            config={**asdict(plan), "alerts": {**asdict(plan.alerts), "webhook": None}},  # it may hold a secret
        )
        if self.resumed_from is not None:
            step, measured = self.resumed_from
            for event in reported_events(run.events_path, step, measured=measured):
                self.event(event)
            for folder in before:
                folder.rename(folder.with_name(f"replaced-{folder.name}"))  # `wandb sync` leaves it alone

    def event(self, event: Event) -> None:
        """Add an event's figures to their curves."""
        if self._run is not None and (values := figures(event)):
            self._run.log(values, step=event_step(event))

    def close(self) -> None:
        """Write out what is left."""
        if self._run is not None:
            self._run.finish()


_OFFLINE = "offline-run-"


def reported_events(path: Path, step: int, *, measured: bool) -> Iterator[Event]:
    """The events of a run's curves up to a step, each once, in order; without the evaluation there unless `measured`.

    Where a run went on from an earlier step than it had come to, what it had reported of later ones does not count.
    """
    reported: list[Event] = []
    for piece in pieces(path):
        for event in piece.events:
            if event["kind"] == "status":
                while reported and event_step(reported[-1]) > event["step"]:
                    reported.pop()
            elif event["kind"] in CURVES:
                reported.append(event)
    last: dict[tuple[str, int], Event] = {(event["kind"], event_step(event)): event for event in reported}
    for (kind, at), event in sorted(last.items(), key=lambda item: item[0][1]):
        if at < step or (at == step and (measured or kind == "step")):
            yield event


def figures(event: Event) -> dict[str, float]:
    """`step/loss` and so on, for the kinds of events that hold figures."""
    values: dict[str, Any] = dict(event)
    return {f"{event['kind']}/{name}": float(values[name]) for name in CURVES.get(event["kind"], ())}


def event_step(event: Event) -> int:
    """The step an event belongs to."""
    values: dict[str, Any] = dict(event)
    return int(values.get("step", 0))
