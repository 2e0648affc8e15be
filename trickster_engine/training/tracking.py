"""`training_config.tracking`: the same figures in TensorBoard or, without a network, in Weights & Biases."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.events import Event
from trickster_engine.runs import RunDirectory, RunIdentity
from trickster_engine.training.recorder import Watcher

#: Event kind -> the fields that become curves.
CURVES = {
    "step": ("loss", "lr", "grad_norm", "tokens_per_s"),
    "eval": ("train_loss", "val_loss", "perplexity"),
}


class Tracker(Watcher, Protocol):
    """A watcher that has files of its own to close."""

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
            f"Install it with: pip install {kind}. Or set tracking: none; events.jsonl holds the same figures.",
        ) from error


class TensorBoardTracker:
    """Writes `<run>/tensorboard`; look at it with `tensorboard --logdir runs`."""

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._make_writer: Any = SummaryWriter
        self._writer: Any = None

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Open the log and note the config."""
        self._writer = self._make_writer(str(run.path / "tensorboard"))
        self._writer.add_text("config", f"```yaml\n{run.config_path.read_text(encoding='utf-8')}\n```")

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


class WandbTracker:
    """Writes `<run>/wandb` offline; `wandb sync` uploads it if and when the person wants that."""

    def __init__(self) -> None:
        import wandb

        self._wandb: Any = wandb
        self._run: Any = None

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Open the offline log and note the config."""
        self._run = self._wandb.init(
            mode="offline", project="trickster", name=run.id, dir=str(run.path), config=asdict(plan)
        )

    def event(self, event: Event) -> None:
        """Add an event's figures to their curves."""
        if self._run is not None and (values := figures(event)):
            self._run.log(values, step=event_step(event))

    def close(self) -> None:
        """Write out what is left."""
        if self._run is not None:
            self._run.finish()


def figures(event: Event) -> dict[str, float]:
    """`step/loss` and so on, for the kinds of events that hold figures."""
    values: dict[str, Any] = dict(event)
    return {f"{event['kind']}/{name}": float(values[name]) for name in CURVES.get(event["kind"], ())}


def event_step(event: Event) -> int:
    """The step an event belongs to."""
    values: dict[str, Any] = dict(event)
    return int(values.get("step", 0))
