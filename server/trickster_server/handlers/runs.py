"""Answers to requests about runs: their list, their events, starting, stopping and deleting them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from lsprotocol import types

from trickster_engine.config.check import check
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, config_name, read_piece
from trickster_engine.runs.launch import Launched, free_run_directory, has_begun, launch
from trickster_engine.system.files import path_meant
from trickster_server.handlers.named import config_path, config_text, run_named
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages import runs as messages
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.paths import file_key, without_dots
from trickster_server.runs.deleting import Belongings, belongings, remove
from trickster_server.runs.engine_process import engine_failed
from trickster_server.runs.followed import FollowedRun
from trickster_server.runs.interpreter import does_not_start
from trickster_server.services import Services

logger = logging.getLogger(__name__)

_PAGE_BYTES = 4 << 20
_PAGE = 5_000
"""Events in one answer: few enough that putting them into JSON holds nobody up."""
_LIVE_SECONDS = 60.0
"""How long a training process may take until it holds its run; importing torch from a cold disk takes a while."""
_BEGIN_SECONDS = 8.0
"""How long it is waited, from its first sign of life, until a run begins to train."""
_STOP_SECONDS = 600.0
_POLL = 0.05


class Runs:
    """Starts, stops and deletes runs for one client."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._launching = asyncio.Lock()
        self._starting: dict[tuple[object, ...], asyncio.Task[messages.RunStarted]] = {}
        self._started: dict[tuple[object, ...], messages.RunStarted] = {}

    async def list_runs(self, _: messages.ListRunsParams) -> messages.ListRunsResult:
        """Every run, newest first."""
        await self._services.registry.ready()
        return messages.ListRunsResult(self._services.registry.infos())

    async def run_events(self, params: messages.RunEventsParams) -> messages.RunEventsResult:
        """A run's events from a position on."""
        run = await run_named(self._services, params.run_id)
        limit = min(params.limit if params.limit is not None else _PAGE, _PAGE)

        def page() -> messages.RunEventsResult:
            piece = read_piece(run.directory.events_path, max(params.after, 0), _PAGE_BYTES, max(limit, 0))
            return messages.RunEventsResult(list(map(dict, piece.events)), piece.after, piece.more)

        return await asyncio.to_thread(page)

    async def start_run(self, params: messages.StartRunParams) -> messages.RunStarted:
        """Train a config. Asked again before the first step, it is the same run: an impatient second press."""
        path = await config_path(self._services, params.config_uri)
        text = await config_text(path)
        file = await asyncio.to_thread(file_key, path)
        pressed = (file, text, str(sorted(params.overrides.items())), params.python)
        before = self._started.get(pressed)
        run = self._services.registry.find(before.run_id) if before is not None else None
        if before is not None and run is not None and run.beginning:
            return before
        self._started[pressed] = started = await self._once(pressed, lambda: self._start(params, path, text))
        return started

    async def _once(
        self, pressed: tuple[object, ...], start: Callable[[], Coroutine[Any, Any, messages.RunStarted]]
    ) -> messages.RunStarted:
        """Start something, or wait with those who have asked for the same. It goes on where a request is cancelled."""
        task = self._starting.get(pressed)
        if task is None:
            task = self._starting[pressed] = asyncio.get_running_loop().create_task(start())
            task.add_done_callback(lambda done: self._start_done(pressed, done))
        return await asyncio.shield(task)

    def _start_done(self, pressed: tuple[object, ...], task: asyncio.Task[messages.RunStarted]) -> None:
        self._starting.pop(pressed, None)
        if not task.cancelled():
            task.exception()  # whoever still waits for it is told

    async def _start(self, params: messages.StartRunParams, path: Path, text: str) -> messages.RunStarted:
        plan = (await asyncio.to_thread(check, text, path.parent)).plan
        if plan is None and not params.overrides:
            raise RequestError(
                ErrorCode.CONFIG_HAS_ERRORS, f"{path.name} has errors; the Problems list shows them. Fix them first."
            )
        python = await self._services.interpreters.able_to_train(params.python)
        overrides = [f"--set={name}={as_yaml(value)}" for name, value in params.overrides.items()]
        output_dir = plan.output.output_dir if plan is not None else "runs"
        async with self._launching:
            directory = await self._free_run_directory(path_meant(path.parent, output_dir), config_name(path))
            arguments = ["train", str(path), f"--run-dir={directory}", *overrides]
            return await self._launch(python, arguments, directory)

    async def resume_run(self, params: messages.ResumeRunParams) -> messages.RunStarted:
        """Go on with a run."""
        run = await run_named(self._services, params.run_id)
        return await self._once(("resume", run.run_id, params.python), lambda: self._resume(params, run))

    async def _resume(self, params: messages.ResumeRunParams, run: FollowedRun) -> messages.RunStarted:
        if run.live:
            raise RequestError(ErrorCode.RUN_IS_LIVE, f"{run.directory.path.name} is being trained already.")
        python = await self._services.interpreters.able_to_train(params.python)
        return await self._launch(python, ["resume", str(run.directory.path)], run.directory.path)

    async def _free_run_directory(self, output_dir: Path, name: str) -> Path:
        """The next free run directory. The engine makes it itself, so it only is looked for."""

        def look() -> Path:
            try:
                return free_run_directory(without_dots(output_dir), name)
            except TricksterError as error:
                raise RequestError(ErrorCode.ENGINE_FAILED, str(error)) from error

        return await asyncio.to_thread(look)

    async def _launch(self, python: str, arguments: list[str], directory: Path) -> messages.RunStarted:
        try:
            launched = await asyncio.to_thread(launch, python, arguments, directory)
        except OSError as error:
            raise does_not_start(python, error) from error
        self._services.spawn(self._collect(launched), "collect a trainer")
        logger.info("Training %s as process %d with %s", directory, launched.pid, python)
        # Answered when training is about to begin, so that what prevents it is said in the answer. A text that takes
        # long to prepare is not waited for; the run is in the list from its first sign of life.
        began, shown = time.monotonic(), False
        while time.monotonic() - began < (_BEGIN_SECONDS if shown else _LIVE_SECONDS):
            code = launched.exit_code()
            if code is not None and code != 0:
                raise self._failed(launched)
            if not shown and await asyncio.to_thread(has_begun, directory, launched.pid):
                await self._services.registry.add(directory, started_here=True)
                shown = True
            if code == 0 or (shown and RunDirectory(directory).identity_if_readable() is not None):
                break
            await asyncio.sleep(_POLL)
        launched.answered = True
        run = await self._services.registry.add(directory, started_here=True)
        return messages.RunStarted(run.run_id, str(directory), launched.pid)

    def _failed(self, launched: Launched) -> RequestError:
        lines = [line.strip() for line in launched.last_words().splitlines() if line.strip()]
        return engine_failed(lines, launched.exit_code())

    async def _collect(self, launched: Launched) -> None:
        """Notice the end of a trainer this server has started, so that it does not stay behind as a zombie."""
        while launched.exit_code() is None:
            await asyncio.sleep(0.2)
        directory = launched.run_directory
        if launched.exit_code():
            logger.info("%s ended with exit code %s", directory.name, launched.exit_code())
            if launched.answered and not directory.exists():
                # It never came to train, so the engine has removed it, and with it the events that say why.
                words = f"{directory.name} could not start. {self._failed(launched).message}"
                self._services.show_message(types.MessageType.Error, words)
        self._services.registry.look_now()
        await asyncio.sleep(1.0)  # the answer to the request may still want its last words
        launched.close()

    async def stop_run(self, params: messages.StopRunParams) -> messages.StopRunResult:
        """Ask a trainer to save and stop."""
        run = await run_named(self._services, params.run_id)
        if not run.live:
            return messages.StopRunResult(run.state)
        try:
            await self._services.registry.in_thread(run.directory.request_stop)
        except OSError as error:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"Cannot ask {run.directory.path} to stop: {error}") from error
        self._services.registry.stop_asked(run)
        if params.wait:
            await self._services.registry.wait_for(lambda: not run.live, _STOP_SECONDS)
        return messages.StopRunResult("stopping" if run.live else run.state)

    async def delete_run(self, params: messages.DeleteRunParams) -> messages.DeleteRunResult:
        """Remove what belongs to a run, or say what that is."""
        run = await run_named(self._services, params.run_id)
        directory = run.directory
        others = [other.directory for other in self._services.registry.runs() if other is not run]

        def work() -> Belongings:
            if directory.is_live():
                raise RequestError(ErrorCode.RUN_IS_LIVE, f"{directory.id} is being trained. Stop it first.")
            found = belongings(directory, others)
            if not params.dry_run:
                remove(found)
            return found

        if run.live:
            raise RequestError(ErrorCode.RUN_IS_LIVE, f"{directory.id} is being trained. Stop it first.")
        try:
            found = await asyncio.to_thread(work)
        except OSError as error:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"Cannot delete {directory.path}: {error}") from error
        if not params.dry_run:
            self._services.registry.forget(run.run_id)
        return messages.DeleteRunResult(str(directory.path), found.removed(), found.kept())
