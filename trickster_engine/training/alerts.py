"""The rules of `alerts_config`: what of a run's own figures somebody should be told at once."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from trickster_engine.config.keys.alerts import AlertsConfig
from trickster_engine.runs.event_types import StepEvent
from trickster_engine.training.context import Note

#: What the codes of all alerts begin with.
ALERT = "alert-"
#: Step events that a median is taken over, and as many as must have come before it means anything.
_RECENT, _ENOUGH = 50, 5
#: Step events that are slow one after the other before it is said: one alone may be a checkpoint of another program.
_SLOW_IN_A_ROW = 3


def free_bytes(folder: Path) -> int | None:
    """Free space on the disk of a folder, which need not be there yet; None where the system does not tell."""
    try:
        return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    except OSError:
        return None


class Alerts:
    """Reads the events of one run as they come. Each alert is given once, and again after what it is about was over."""

    def __init__(self, rules: AlertsConfig, free: Callable[[], int | None]) -> None:
        """`free` tells the free bytes on the disk that checkpoints are written to."""
        self._rules = rules
        self._free = free
        self._given: set[str] = set()
        self._best_loss: tuple[float, int] | None = None  # and the step it was reached at
        self._speeds: deque[float] = deque(maxlen=_RECENT)
        self._slow = 0
        self._norms: deque[float] = deque(maxlen=_RECENT)
        self._gap: float | None = None
        self._gap_grown = 0
        self._best_val: float | None = None

    def step(self, event: StepEvent) -> list[Note]:
        """What a step event gives reason to say."""
        found = (self._stuck(event), self._slower(event), self._exploding(event), self._disk())
        return [note for one in found for note in one]

    def evaluation(self, train_loss: float, val_loss: float) -> list[Note]:
        """What an evaluation gives reason to say."""
        gap, before = val_loss - train_loss, self._gap
        self._gap = gap
        best = self._best_val is None or val_loss < self._best_val
        self._best_val = val_loss if best or self._best_val is None else self._best_val
        self._gap_grown = self._gap_grown + 1 if before is not None and gap > before and not best else 0
        wanted = self._rules.gap_evaluations
        return list(
            self._once(
                "gap-grows",
                wanted > 0 and self._gap_grown >= wanted,
                f"The generalization gap has grown in {self._gap_grown} evaluations in a row, to {gap:.3f} "
                f"nats/token, and the validation loss is {val_loss:.4f} after {self._best_val:.4f} at its best.",
                "The model memorises: stop here, or try more text, more dropout or fewer steps.",
            )
        )

    def _stuck(self, event: StepEvent) -> Iterator[Note]:
        if self._best_loss is None or event["loss"] < self._best_loss[0]:
            self._best_loss = event["loss"], event["step"]
        loss, at = self._best_loss
        wanted, waited = self._rules.loss_stuck_steps, event["step"] - at
        yield from self._once(
            "loss-stuck",
            wanted > 0 and waited >= wanted,
            f"The training loss has not fallen below {loss:.4f}, of step {at:,}, for {waited:,} steps.",
            "It may be at its end: see whether the validation loss still falls. Early on, lower the learning rate.",
        )

    def _slower(self, event: StepEvent) -> Iterator[Note]:
        share, speed = self._rules.slow_below, event["tokens_per_s"]
        usual = median(self._speeds) if len(self._speeds) >= _ENOUGH else None
        is_slow = usual is not None and speed < share * usual
        self._slow = self._slow + 1 if is_slow else 0
        if not is_slow:  # what is slow does not become what is usual
            self._speeds.append(speed)
        yield from self._once(
            "slow",
            self._slow >= _SLOW_IN_A_ROW,
            f"Training runs at {speed:,.0f} tokens/s, after a median of {usual or 0:,.0f}.",
            "Look for other programs on this machine, and for heat.",
            over=not is_slow,
        )

    def _exploding(self, event: StepEvent) -> Iterator[Note]:
        factor, norm = self._rules.grad_norm_above, event["grad_norm"]
        usual = median(self._norms) if len(self._norms) >= _ENOUGH else None
        explodes = factor > 0 and usual is not None and norm > factor * usual
        if not explodes:
            self._norms.append(norm)
        yield from self._once(
            "grad-norm",
            explodes,
            f"The gradient norm is {norm:.3g}, after a median of {usual or 0:.3g}: the loss may soon be NaN.",
            "Lower the learning rate threefold, set grad_clip: 1.0, or resume from the last checkpoint.",
        )

    def _disk(self) -> Iterator[Note]:
        wanted = self._rules.min_free_gb
        free = self._free() if wanted > 0 else None
        yield from self._once(
            "disk",
            free is not None and free < wanted * 1e9,
            f"The disk of the checkpoints has {(free or 0) / 1e9:.1f} GB left, less than {wanted:g} GB.",
            "Free some space: a run that cannot save stops.",
        )

    def _once(self, name: str, holds: bool, message: str, advice: str, over: bool | None = None) -> Iterator[Note]:
        if holds and name not in self._given:
            self._given.add(name)
            yield Note(ALERT + name, message, advice)
        elif (not holds) if over is None else over:
            self._given.discard(name)
