"""What a run has come to: its events, folded into one line of a list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trickster_engine.events import FINAL_STATUSES, Event

if TYPE_CHECKING:
    from trickster_engine.runs.directory import RunDirectory


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows. `status` is an event status, or `interrupted` when the trainer is gone."""

    id: str
    path: Path
    config_path: str | None
    status: str
    live: bool
    step: int
    max_step: int | None
    train_loss: float | None
    val_loss: float | None
    best_val_loss: float | None
    eta_s: float | None
    created: float
    updated: float


def summarize(run: RunDirectory, events: list[Event]) -> RunSummary:
    """Fold a run's events into one line of a list."""
    status, step, created, updated = "starting", 0, 0.0, 0.0
    train_loss = val_loss = best = eta_s = None
    for event in events:
        updated = event["t"]
        created = created or updated
        if event["kind"] == "status":
            status, step = event["status"], event["step"]
        elif event["kind"] == "step":
            step, train_loss, eta_s = event["step"], event["loss"], event["eta_s"]
        elif event["kind"] == "eval":
            val_loss = event["val_loss"]
            best = val_loss if best is None else min(best, val_loss)
    plan = run.plan()
    live = run.is_live()
    if not live and status not in FINAL_STATUSES:
        status = "interrupted"
    identity = run.identity_if_readable()
    return RunSummary(
        id=run.id,
        path=run.path,
        config_path=identity.config_path if identity else None,
        status=status,
        live=live,
        step=step,
        max_step=plan.training.max_steps if plan else None,
        train_loss=train_loss,
        val_loss=val_loss,
        best_val_loss=best,
        eta_s=eta_s if live else None,
        created=created,
        updated=updated,
    )
