"""Remembers how fast a run trained, for the estimates of later ones."""

from __future__ import annotations

import contextlib
import statistics

from trickster_engine.config.plan import Plan
from trickster_engine.data.cache import cache_directory
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.speeds import FEWEST_READINGS, keep_speeds, speed_of
from trickster_engine.runs import RunDirectory, RunIdentity
from trickster_engine.runs.event_types import Event
from trickster_engine.system.substitutes import is_substitute


class SpeedHistory:
    """A watcher that keeps the middle speed of a run when the run has finished or was stopped."""

    def __init__(self) -> None:
        self._speeds: list[float] = []

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Note what is being measured."""
        self._plan, self._device, self._name = plan, identity.device, run.id

    def event(self, event: Event) -> None:
        """Collect speeds; at the end, keep them."""
        if event["kind"] == "step":
            self._speeds.append(event["tokens_per_s"])
        elif (
            event["kind"] == "status"
            and event["status"] in ("finished", "stopped")
            and len(self._speeds) >= FEWEST_READINGS
            and not is_substitute(self._device)
        ):
            speed = speed_of(self._plan, self._device, statistics.median(self._speeds), self._name)
            with contextlib.suppress(OSError, TricksterError):  # no cache to write costs an estimate, never a run
                keep_speeds(cache_directory(), [speed])
