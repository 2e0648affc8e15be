"""Finds the runs under the workspace and follows the live ones, whoever started them.

All looking at files happens in one thread; all state is kept on the event loop. A run that begins or has news is looked
at ten times a second, a quiet one less often, one that nobody trains every two seconds (it may be resumed from a
terminal), and folders are searched for new ones as often as that is cheap.

However many runs there are, a list comes within a second: the newest are read whole, of the others the first and the
last events, and the rest is read afterwards in small pieces.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_engine.runs.search import search
from trickster_server.lsp.messages.notifications import EventParams, RunsChangedParams
from trickster_server.lsp.messages.runs import RunInfo
from trickster_server.paths import without_dots
from trickster_server.runs.followed import FollowedRun, Reading
from trickster_server.runs.metadata import Planned
from trickster_server.runs.naming import runs_named
from trickster_server.runs.reading import (
    FIRST_SCREEN,
    catch_up_safely,
    first_look,
    look_safely,
    newest_first,
    say_left_out,
    tell_trouble,
)
from trickster_server.runs.search import runs_of_outputs

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK = 0.1
"""Seconds between looks at live runs that have just said something: at most ten notifications a second a run."""
QUIET_TICK = 0.4
"""The same where they train and say nothing: a slow model speaks every two seconds, and wants the processor itself."""
PROBE = 0.4
"""Seconds between asking whether a live run's trainer is still there."""
SETTLED = 2.0
"""Seconds between looks at runs that nobody trains."""
KNOWN_FOLDERS = 0.4
"""Seconds between looks into folders that are known to hold runs."""
WHOLE_SEARCH = 10.0
"""Seconds between searches of the whole workspace; each may take up to a tenth of that."""
CHANGES = 0.25
"""Seconds between two `trickster/runsChanged`."""
CHANGES_MEANWHILE = 1.0
"""The same while runs are still read for the first time."""
SLICE = 0.05
"""Seconds of reading what is left for later, before live runs are looked at again."""
QUIET_SLICE = 0.25
"""The same where nobody trains."""
SETTLED_ROUNDS = 8
"""Of older runs that nobody trains and whose events are as long as before, so many looks pass until a whole one."""


class RunRegistry:
    """Every run under the workspace."""

    def __init__(
        self,
        send_events: Callable[[EventParams], None],
        send_list: Callable[[RunsChangedParams], None],
        output_folders: Callable[[], Iterable[Path]],
    ) -> None:
        self._send_events = send_events
        self._send_list = send_list
        self._output_folders = output_folders
        self._workspace: list[Path] = []
        self._runs: dict[str, FollowedRun] = {}
        self._following: dict[str, int] = {}
        self._started_here: set[str] = set()
        # One thread: a slow disk delays the runs and nothing else.
        self._files = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runs")
        self._task: asyncio.Task[None] | None = None
        self._first_search = asyncio.Event()
        self._look_now = asyncio.Event()
        self._changed = False
        self._left_for_later = False
        self._rounds = 0
        self._list_sent = 0.0
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    # ---- life -------------------------------------------------------------------------------------------------------

    def start(self, workspace: Iterable[Path], following: dict[str, int]) -> None:
        """Begin to search and follow."""
        self._workspace = list(workspace)
        self._following = dict(following)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def set_workspace(self, folders: Iterable[Path]) -> None:
        """The folders of the workspace have changed."""
        self._workspace = list(folders)
        self._runs = {
            run_id: run
            for run_id, run in self._runs.items()
            if any(run.directory.path.is_relative_to(folder) for folder in self._folders())
        }
        self._changed = True

    async def close(self) -> None:
        """Stop following. The runs themselves go on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._files.shutdown(wait=False, cancel_futures=True)

    # ---- questions --------------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Wait until the workspace has been searched for the first time."""
        await self._first_search.wait()

    def infos(self) -> list[RunInfo]:
        """Every run, newest first."""
        return [run.info() for run in newest_first(self._runs.values())]

    def runs(self) -> list[FollowedRun]:
        """Every run, in no order."""
        return list(self._runs.values())

    def find(self, run_id: str) -> FollowedRun | None:
        """A run by whatever names it, where only one is meant."""
        found = self.named(run_id)
        return found[0] if len(found) == 1 else None

    def named(self, name: str) -> list[FollowedRun]:
        """The runs that a name means: see `runs_named`."""
        return runs_named(name, self._runs, self._workspace)

    def holds(self, path: Path) -> bool:
        """Whether a file is in a run's directory."""
        return any(str(parent) in self._runs for parent in path.parents)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do something with the files of runs, in the thread that is there for it."""
        return await asyncio.get_running_loop().run_in_executor(self._files, work)

    async def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until something is true of the runs. Returns whether it has come true in time."""
        if condition():
            return True
        waiter = asyncio.get_running_loop().create_future()
        entry = (condition, waiter)
        self._waiters.append(entry)
        self.look_now()
        try:
            await asyncio.wait_for(waiter, timeout)
        except asyncio.TimeoutError:
            return condition()
        finally:
            self._waiters.remove(entry)
        return True

    async def check_plans(self, runs: Iterable[FollowedRun]) -> None:
        """Look at what runs train, where only the number of their steps was read so far."""
        unchecked = [run for run in runs if not run.planned]
        if not unchecked:
            return
        plans = await self.in_thread(lambda: [run.check_plan() for run in unchecked])
        for run, plan in zip(unchecked, plans, strict=True):
            run.take_plan(plan)
        self._changed = True  # the list shows the plan's phases

    def look_now(self) -> None:
        """Do not wait for the next tick."""
        self._look_now.set()

    async def add(self, path: Path, started_here: bool = False) -> FollowedRun:
        """Take in a run at once, without waiting until the search finds it."""
        path = without_dots(path)
        run_id = str(path)
        if started_here:
            self._started_here.add(run_id)
        if run_id not in self._runs:
            await self._take_in([path])
        self.look_now()
        return self._runs[run_id]

    def stop_asked(self, run: FollowedRun) -> None:
        """A trainer was asked to stop: it is shown at once, not only after the step that it is in."""
        run.stop_asked = True
        self._changed = True
        self.look_now()

    def forget(self, run_id: str) -> None:
        """A run has been deleted."""
        self._runs.pop(run_id, None)
        self._changed = True
        self.look_now()

    # ---- the loop ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        searched = looked_into_known = looked_at_settled = probed = 0.0
        tick = TICK
        while True:
            try:
                now = time.monotonic()
                if now - searched >= WHOLE_SEARCH:
                    await self._search_workspace()
                    self._first_search.set()
                    # A search that takes long is made less often.
                    searched = time.monotonic() + 9 * (time.monotonic() - now)
                    looked_into_known = searched
                elif now - looked_into_known >= KNOWN_FOLDERS:
                    await self._search_known()
                    looked_into_known = now
                settled_too = now - looked_at_settled >= SETTLED
                probe = now - probed >= PROBE
                news = await self._look(settled_too, probe)
                awaited = news or any(run.beginning for run in self._runs.values())
                tick = TICK if awaited else min(2 * tick, QUIET_TICK)
                looked_at_settled = now if settled_too else looked_at_settled
                probed = now if probe else probed
                self._tell()
                if self._left_for_later:
                    await self._read_on()
                    self._tell()
            except asyncio.CancelledError:
                raise
            except Exception:
                logger.exception("Following the runs failed; trying again.")
                self._first_search.set()
            self._look_now.clear()
            try:
                # Between two looks at least a tick passes, so that no run is heard more than ten times a second.
                await asyncio.sleep(TICK)
                if self._left_for_later:
                    continue
                wait = tick - TICK if any(run.live for run in self._runs.values()) else KNOWN_FOLDERS
                if wait > 0:
                    await asyncio.wait_for(self._look_now.wait(), wait)
            except asyncio.TimeoutError:
                pass

    def _folders(self) -> list[Path]:
        return [*self._workspace, *map(without_dots, self._output_folders())]

    async def _search_workspace(self) -> None:
        folders, outputs = list(self._workspace), list(self._output_folders())

        def look() -> list[Path]:
            found = [path for folder in folders for path in search(folder)]
            return found + runs_of_outputs(outputs)

        await self._take_in(await self.in_thread(look))

    async def _search_known(self) -> None:
        folders = {run.directory.path.parent for run in self._runs.values()}
        folders |= {folder / "runs" for folder in self._workspace} | set(self._output_folders())
        known = frozenset(self._runs)
        await self._take_in(await self.in_thread(lambda: runs_of_outputs(folders, known)))

    async def _take_in(self, paths: Iterable[Path]) -> None:
        new = [FollowedRun(RunDirectory(path)) for path in dict.fromkeys(paths) if str(path) not in self._runs]
        if not new:
            return
        await self.in_thread(lambda: first_look(new))
        for run in new:
            if run.run_id in self._runs:
                continue
            known = self._following.pop(run.run_id, None)
            if known is not None:
                run.sent = min(known, run.next)
            elif run.run_id in self._started_here or self._first_search.is_set():
                run.sent = 0  # it began under our eyes: the client hears it from its first event
            else:
                run.sent = run.next
            self._runs[run.run_id] = run
            self._left_for_later = self._changed = True
            say_left_out(run)

    async def _read_on(self) -> None:
        """Read a piece of what was left for later: the live runs' events, the newer runs', and then the configs."""
        runs = newest_first(self._runs.values())
        unread = sorted((run for run in runs if not run.caught_up), key=lambda run: not run.live)
        unplanned = [run for run in runs if not run.planned]
        if not unread and not unplanned:
            self._left_for_later = False
            return

        length = SLICE if any(run.live for run in runs) else QUIET_SLICE

        def read() -> tuple[list[FollowedRun], list[tuple[FollowedRun, Planned]]]:
            until = time.monotonic() + length
            caught_up = list(itertools.takewhile(lambda run: catch_up_safely(run, until), unread))
            planned = []
            for run in unplanned if len(caught_up) == len(unread) else ():
                if time.monotonic() > until:
                    break
                planned.append((run, run.check_plan()))
            return caught_up, planned

        caught_up, planned = await self.in_thread(read)
        for run in caught_up:
            run.take_over()
            say_left_out(run)
        for run, plan in planned:
            run.take_plan(plan)
        self._changed = True

    async def _look(self, settled_too: bool, probe: bool) -> bool:
        """Read what is new of the runs and send it; returns whether there was anything."""
        targets = [run for run in self._runs.values() if run.caught_up and (run.live or run.sent != run.next)]
        only_if_changed: list[FollowedRun] = []
        if settled_too:
            self._rounds += 1
            settled = [run for run in newest_first(self._runs.values()) if run.caught_up and not run.live]
            for index, run in enumerate(settled):
                whole = index < FIRST_SCREEN or (index + self._rounds) % SETTLED_ROUNDS == 0 or run.sent != run.next
                (targets if whole else only_if_changed).append(run)
        targets = list(dict.fromkeys(targets))
        if not targets and not only_if_changed:
            return False

        def look() -> list[tuple[FollowedRun, Reading | None]]:
            runs = targets + [run for run in only_if_changed if run.has_changed()]
            return [(run, found[0]) for run in runs if (found := look_safely(run, probe or not run.live))]

        lost = []
        news = False
        for run, reading in await self.in_thread(look):
            if self._runs.get(run.run_id) is not run:
                continue
            if reading is None:
                run.lose()
                del self._runs[run.run_id]
                self._changed = True
                lost.append(run.directory.path)
                continue
            try:
                news |= bool(reading.piece.events)
                self._changed |= run.apply(reading)
                say_left_out(run)
                if (message := run.message(reading)) is not None:
                    self._send_events(message)
            except Exception:
                tell_trouble(run)
        if lost:
            # Deleted and trained again under its name: another run, heard from its first event.
            await self._take_in(await self.in_thread(lambda: [path for path in lost if is_run_directory(path)]))
        return news

    def _tell(self) -> None:
        for condition, waiter in self._waiters:
            if not waiter.done() and condition():
                waiter.set_result(None)
        now = time.monotonic()
        pause = CHANGES_MEANWHILE if self._left_for_later else CHANGES
        if self._changed and self._first_search.is_set() and now - self._list_sent >= pause:
            self._changed = False
            self._list_sent = now
            self._send_list(RunsChangedParams(self.infos()))
