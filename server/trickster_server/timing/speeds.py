"""How long a run takes on this machine, from its calibration and the runs seen here (`estimates/speeds.py`)."""

from __future__ import annotations

import asyncio
import logging
import platform
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from trickster_server.lsp.messages import EstimateSource
from trickster_server.timing import boards

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One line of the table in a hover."""

    where: str
    seconds: float
    source: EstimateSource
    note: str


class Timing:
    """Speeds measured on this machine."""

    def __init__(self, server: TricksterServer) -> None:
        self._server = server
        self._speeds: dict[tuple[str, str], Speed] = {}
        self._calibrations: list[Calibration] = []
        self._dirty = asyncio.Event()

    def training_time(self, plan: Plan) -> Expected | None:
        """Expected seconds of training on this machine; None before anything was measured here."""
        return expected_time(plan, self._speeds.values(), self._calibrations)

    async def is_calibrated(self) -> bool:
        """Whether this machine is calibrated, after looking; what was found is used from now on."""
        self._calibrations = await asyncio.get_running_loop().run_in_executor(None, _read_calibrations)
        return bool(self._calibrations)

    def table(self, plan: Plan) -> list[Row]:
        """Expected times on this machine and on the boards that the lesson names."""
        rows: list[Row] = []
        here = self.training_time(plan)
        if here is not None:
            rows.append(Row("this machine", here.seconds, here.source, here.as_words().removeprefix(here.source)))
        for board in boards.BOARDS:
            seconds, source = boards.training_time(board, plan)
            rows.append(Row(board.name, seconds, source, ""))
        return rows

    def runs_changed(self) -> None:
        """Look at the runs again when there is time."""
        self._dirty.set()

    async def keep_current(self) -> None:
        """Learn from runs for as long as the server lives."""
        loop = asyncio.get_running_loop()
        self._take(await loop.run_in_executor(None, _read_kept))
        await self.is_calibrated()
        await self._server.registry.ready()
        while True:
            before = dict(self._speeds)
            self._take(self._measured())
            if self._speeds != before:
                self._server.refresh_figures()
                # Only what is new here: the terminal may have kept newer ones of the rest.
                learned = [speed for key, speed in self._speeds.items() if before.get(key) != speed]
                if self._server.trusted:
                    await loop.run_in_executor(None, _keep, learned)
            self._dirty.clear()
            await self._dirty.wait()
            await asyncio.sleep(2.0)

    def _take(self, speeds: list[Speed]) -> None:
        for speed in speeds:
            self._speeds[(speed.shape, speed.device)] = speed

    def _measured(self) -> list[Speed]:
        found = []
        for run in self._server.registry.runs():
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


def _read_kept() -> list[Speed]:
    cache = known_cache_directory()
    return read_speeds(cache) if cache is not None else []


def _read_calibrations() -> list[Calibration]:
    cache = known_cache_directory()
    return read_calibrations(cache) if cache is not None else []


def _keep(speeds: list[Speed]) -> None:
    cache = known_cache_directory()
    if cache is None:
        return
    try:
        keep_speeds(cache, speeds)
    except OSError as error:
        logger.debug("Speeds are not saved: %s", error)
