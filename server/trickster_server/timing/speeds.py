"""How long a run takes on this machine, from its calibration and the runs seen here (`estimates/speeds.py`)."""

from __future__ import annotations

import asyncio
import logging
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from trickster_engine.config.plan import Plan
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.estimates.calibration import Calibration, read_calibrations
from trickster_engine.estimates.speeds import (
    FEWEST_READINGS,
    Expected,
    Speed,
    expected_time,
    keep_speeds,
    read_speeds,
    speed_of,
)
from trickster_engine.system.substitutes import is_substitute
from trickster_server.lsp.session import Session
from trickster_server.runs.registry import RunRegistry

logger = logging.getLogger(__name__)

Kept = TypeVar("Kept")


class Timing:
    """Speeds measured on this machine."""

    def __init__(self, session: Session, registry: RunRegistry) -> None:
        self._session = session
        self._registry = registry
        self._speeds: dict[tuple[str, str], Speed] = {}
        self._calibrations: list[Calibration] = []
        self._dirty = asyncio.Event()

    def training_time(self, plan: Plan) -> Expected | None:
        """Expected seconds of training on this machine; None before anything was measured here."""
        return expected_time(plan, self._speeds.values(), self._calibrations)

    async def is_calibrated(self) -> bool:
        """Whether this machine is calibrated, after looking; what was found is used from now on."""
        self._calibrations = await asyncio.to_thread(_from_cache, read_calibrations)
        return bool(self._calibrations)

    def runs_changed(self) -> None:
        """Look at the runs again when there is time."""
        self._dirty.set()

    async def keep_current(self) -> None:
        """Learn from runs for as long as the server lives."""
        self._take(await asyncio.to_thread(_from_cache, read_speeds))
        await self.is_calibrated()
        await self._registry.ready()
        while True:
            before = dict(self._speeds)
            self._take(self._measured())
            if self._speeds != before:
                self._session.refresh_figures()
                # Only what is new here: the terminal may have kept newer ones of the rest.
                learned = [speed for key, speed in self._speeds.items() if before.get(key) != speed]
                if self._session.trusted:
                    await asyncio.to_thread(_keep, learned)
            self._dirty.clear()
            await self._dirty.wait()
            await asyncio.sleep(2.0)

    def _take(self, speeds: list[Speed]) -> None:
        for speed in speeds:
            self._speeds[(speed.shape, speed.device)] = speed

    def _measured(self) -> list[Speed]:
        found = []
        for run in self._registry.runs():
            identity, plan = run.identity, run.plan
            if (
                identity is None
                or plan is None
                or len(run.speeds) < FEWEST_READINGS
                or identity.host != platform.node()
                or is_substitute(identity.device)
            ):
                continue
            found.append(speed_of(plan, identity.device, statistics.median(run.speeds), run.directory.path.name))
        return found


def _from_cache(read: Callable[[Path], list[Kept]]) -> list[Kept]:
    cache = known_cache_directory()
    return read(cache) if cache is not None else []


def _keep(speeds: list[Speed]) -> None:
    cache = known_cache_directory()
    if cache is None:
        return
    try:
        keep_speeds(cache, speeds)
    except OSError as error:
        logger.debug("Speeds are not saved: %s", error)
