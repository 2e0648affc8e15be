"""What can be done with runs and models: the work behind the requests of `messages.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types

from trickster_engine.config.check import check
from trickster_engine.config.plan import Plan
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.evaluation.report.model_page import model_page
from trickster_engine.runs import REPORT_FILE, RunDirectory, config_name, create_run, is_run_directory
from trickster_engine.system.files import path_meant
from trickster_server.documents import path_of, read_config
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages import (
    CompareParams,
    CompareResult,
    DeleteRunParams,
    DeleteRunResult,
    DoctorParams,
    DoctorResult,
    ErrorCode,
    GeneratedToken,
    GenerateParams,
    GeneratePart,
    GenerateResult,
    InspectParams,
    InspectResult,
    ListRunsParams,
    ListRunsResult,
    NextTokensParams,
    NextTokensResult,
    PrepareParams,
    PrepareResult,
    ReportParams,
    ReportResult,
    ResumeRunParams,
    RunEventsParams,
    RunEventsResult,
    RunStarted,
    SamplingOptions,
    StartRunParams,
    StopRunParams,
    StopRunResult,
    TokenProbability,
)
from trickster_server.paths import file_key, without_dots
from trickster_server.runs.deleting import Belongings, belongings, remove
from trickster_server.runs.engine_process import Answer, engine_failed, run_engine
from trickster_server.runs.followed import PAGE, FollowedRun, read_page
from trickster_server.runs.kept_report import is_fresh, remember
from trickster_server.runs.launch import Launched, launch
from trickster_server.runs.worker import GenerationWorker

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer

logger = logging.getLogger(__name__)

_LIVE_SECONDS = 60.0
"""How long a training process may take until it holds its run; importing torch from a cold disk takes a while."""
_BEGIN_SECONDS = 8.0
"""How long it is waited, from its first sign of life, until a run begins to train."""
_STOP_SECONDS = 600.0
_POLL = 0.05
_NAMED = 8
"""How many runs an error names at most."""


class RunService:
    """Starts, stops and uses runs for one client."""

    def __init__(self, server: TricksterServer) -> None:
        self._server = server
        self._workers: dict[str, GenerationWorker] = {}
        self._launching = asyncio.Lock()
        self._prepared: set[tuple[str, object]] = set()
        self._starting: dict[tuple[object, ...], asyncio.Task[RunStarted]] = {}
        self._started: dict[tuple[object, ...], RunStarted] = {}

    async def close(self) -> None:
        """End what must not outlive the server. Training goes on."""
        await asyncio.gather(*(worker.close() for worker in self._workers.values()))

    def interpreter_changed(self) -> None:
        """Workers of another interpreter are of no use any more."""
        keep = self._server.interpreters.path(None)
        for python in [python for python in self._workers if python != keep]:
            self._server.spawn(self._workers.pop(python).close(), "end a worker")

    # ---- the list ---------------------------------------------------------------------------------------------------

    async def list_runs(self, _: ListRunsParams) -> ListRunsResult:
        """Every run, newest first."""
        await self._server.registry.ready()
        return ListRunsResult(self._server.registry.infos())

    async def run_events(self, params: RunEventsParams) -> RunEventsResult:
        """A run's events from a position on."""
        run = await self._run(params.run_id)
        limit = min(params.limit if params.limit is not None else PAGE, PAGE)
        page = await asyncio.get_running_loop().run_in_executor(
            None, read_page, run.directory.events_path, max(params.after, 0), max(limit, 0)
        )
        return RunEventsResult(*page)

    # ---- training ---------------------------------------------------------------------------------------------------

    async def start_run(self, params: StartRunParams) -> RunStarted:
        """Train a config. Asked again before the first step, it is the same run: an impatient second press."""
        path = await self._config_path(params.config_uri)
        text = await self._config_text(path)
        file = await asyncio.get_running_loop().run_in_executor(None, file_key, path)
        pressed = (file, text, str(sorted(params.overrides.items())), params.python)
        before = self._started.get(pressed)
        run = self._server.registry.find(before.run_id) if before is not None else None
        if before is not None and run is not None and run.beginning:
            return before
        self._started[pressed] = started = await self._once(pressed, lambda: self._start(params, path, text))
        return started

    async def _once(
        self, pressed: tuple[object, ...], start: Callable[[], Coroutine[Any, Any, RunStarted]]
    ) -> RunStarted:
        """Start something, or wait with those who have asked for the same. It goes on where a request is cancelled."""
        task = self._starting.get(pressed)
        if task is None:
            task = self._starting[pressed] = asyncio.get_running_loop().create_task(start())
            task.add_done_callback(lambda done: self._start_done(pressed, done))
        return await asyncio.shield(task)

    def _start_done(self, pressed: tuple[object, ...], task: asyncio.Task[RunStarted]) -> None:
        self._starting.pop(pressed, None)
        if not task.cancelled():
            task.exception()  # whoever still waits for it is told

    async def _start(self, params: StartRunParams, path: Path, text: str) -> RunStarted:
        plan = check(text, path.parent).plan
        if plan is None and not params.overrides:
            raise RequestError(
                ErrorCode.CONFIG_HAS_ERRORS, f"{path.name} has errors; the Problems list shows them. Fix them first."
            )
        python = await self._server.interpreters.able_to_train(params.python)
        overrides = [f"--set={name}={as_yaml(value)}" for name, value in params.overrides.items()]
        output_dir = plan.output.output_dir if plan is not None else "runs"
        async with self._launching:
            directory = await self._free_run_directory(path_meant(path.parent, output_dir), config_name(path))
            arguments = ["train", str(path), f"--run-dir={directory}", *overrides]
            return await self._launch(python, arguments, directory)

    async def resume_run(self, params: ResumeRunParams) -> RunStarted:
        """Go on with a run."""
        run = await self._run(params.run_id)
        return await self._once(("resume", run.run_id, params.python), lambda: self._resume(params, run))

    async def _resume(self, params: ResumeRunParams, run: FollowedRun) -> RunStarted:
        if run.live:
            raise RequestError(ErrorCode.RUN_IS_LIVE, f"{run.directory.path.name} is being trained already.")
        python = await self._server.interpreters.able_to_train(params.python)
        return await self._launch(python, ["resume", str(run.directory.path)], run.directory.path)

    async def _free_run_directory(self, output_dir: Path, name: str) -> Path:
        """The next free run directory. The engine makes it itself, so it only is looked for."""

        def look() -> Path:
            from trickster_engine.errors import TricksterError

            try:
                made = create_run(without_dots(output_dir), name).path
            except TricksterError as error:
                raise RequestError(ErrorCode.ENGINE_FAILED, str(error)) from error
            made.rmdir()
            return made

        return await asyncio.get_running_loop().run_in_executor(None, look)

    async def _launch(self, python: str, arguments: list[str], directory: Path) -> RunStarted:
        loop = asyncio.get_running_loop()
        try:
            launched = await loop.run_in_executor(None, launch, python, arguments, directory)
        except OSError as error:
            raise RequestError(
                ErrorCode.NO_INTERPRETER, f"{python} does not start: {error}. Choose another."
            ) from error
        self._server.spawn(self._collect(launched), "collect a trainer")
        logger.info("Training %s as process %d with %s", directory, launched.pid, python)
        # Answered when training is about to begin, so that what prevents it is said in the answer. A text that takes
        # long to prepare is not waited for; the run is in the list from its first sign of life.
        began, shown = loop.time(), False
        while loop.time() - began < (_BEGIN_SECONDS if shown else _LIVE_SECONDS):
            code = launched.exit_code()
            if code is not None and code != 0:
                raise self._failed(launched)
            if not shown and await loop.run_in_executor(None, _has_begun, directory, launched.pid):
                await self._server.registry.add(directory, started_here=True)
                shown = True
            if code == 0 or (shown and RunDirectory(directory).identity_if_readable() is not None):
                break
            await asyncio.sleep(_POLL)
        launched.answered = True
        run = await self._server.registry.add(directory, started_here=True)
        return RunStarted(run.run_id, str(directory), launched.pid)

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
                self._server.window_show_message(types.ShowMessageParams(types.MessageType.Error, words))
        self._server.registry.look_now()
        await asyncio.sleep(1.0)  # the answer to the request may still want its last words
        launched.close()

    async def stop_run(self, params: StopRunParams) -> StopRunResult:
        """Ask a trainer to save and stop."""
        run = await self._run(params.run_id)
        if not run.live:
            return StopRunResult(run.state)
        try:
            await self._server.registry.in_thread(run.directory.request_stop)
        except OSError as error:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"Cannot ask {run.directory.path} to stop: {error}") from error
        self._server.registry.stop_asked(run)
        if params.wait:
            await self._server.registry.wait_for(lambda: not run.live, _STOP_SECONDS)
        return StopRunResult("stopping" if run.live else run.state)

    async def delete_run(self, params: DeleteRunParams) -> DeleteRunResult:
        """Remove what belongs to a run, or say what that is."""
        run = await self._run(params.run_id)
        directory = run.directory
        others = [other.directory for other in self._server.registry.runs() if other is not run]

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
            found = await asyncio.get_running_loop().run_in_executor(None, work)
        except OSError as error:
            raise RequestError(ErrorCode.ENGINE_FAILED, f"Cannot delete {directory.path}: {error}") from error
        if not params.dry_run:
            self._server.registry.forget(run.run_id)
        return DeleteRunResult(str(directory.path), found.removed(), found.kept())

    # ---- models -----------------------------------------------------------------------------------------------------

    async def generate(self, params: GenerateParams) -> GenerateResult:
        """Write text, streamed to the client's token."""
        path = await self._model_path(params.run_id, params.checkpoint)
        worker = await self._worker(params.python)

        def on_part(part: dict[str, Any]) -> None:
            if params.partial_result_token is not None:
                tokens = [_generated(token) for token in part["tokens"]]
                self._server.send_partial(params.partial_result_token, GeneratePart(part["text"], tokens))

        request = {
            "path": path,
            "prompt": params.prompt,
            "options": _given(params.sampling),
            "probabilities": max(params.probabilities, 0),
        }
        answer = await self._server.progress_bars.show(
            "Generating",
            params.work_done_token,
            lambda report: worker.ask("generate", request, on_part),
            ask_client=False,
        )
        return GenerateResult(**answer)

    async def next_tokens(self, params: NextTokensParams) -> NextTokensResult:
        """The most likely next tokens."""
        path = await self._model_path(params.run_id, params.checkpoint)
        worker = await self._worker(params.python)
        options = _given(params.sampling) if params.sampling is not None else None
        request = {"path": path, "text": params.text, "count": max(params.count, 1), "options": options}
        answer = await worker.ask("next_tokens", request)
        tokens = [TokenProbability(**token) for token in answer["tokens"]]
        return NextTokensResult(tokens, answer["checkpoint"], answer["entropy"])

    async def compare(self, params: CompareParams) -> CompareResult:
        """The proof of learning."""
        run = await self._run(params.run_id)
        answer = await self._both(
            "Comparing with the untrained model",
            ["compare", str(run.directory.path)],
            params.python,
            params.work_done_token,
        )
        return CompareResult(*answer)

    async def report(self, params: ReportParams) -> ReportResult:
        """What a run has learned, as a page in its directory; made where there is none or it is out of date."""
        run = await self._run(params.run_id)
        if not run.checkpoints():
            name = run.directory.path.name
            raise RequestError(ErrorCode.NO_CHECKPOINT, f"{name} has not saved a checkpoint yet.")
        page = run.directory.path / REPORT_FILE
        in_thread = self._server.registry.in_thread
        cache = known_cache_directory()
        if cache is not None and await in_thread(lambda: is_fresh(run.directory, cache)):
            return ReportResult(str(page))
        made_from = run.next
        arguments = ["report", str(run.directory.path), "--output", str(page)]
        answer = await self._ask("Measuring what the run learned", arguments, params.python, params.work_done_token)
        if cache is not None:
            with contextlib.suppress(OSError):  # it is made anew the next time, then
                await in_thread(lambda: remember(run.directory, cache, made_from))
        return ReportResult(str(page), answer.data)

    async def inspect(self, params: InspectParams) -> InspectResult:
        """A config's model before training."""
        path = await self._config_path(params.config_uri)
        plan = check(await self._config_text(path), path.parent).plan
        text, data = await self._both(
            "Inspecting the model", ["inspect", str(path)], params.python, params.work_done_token
        )
        return InspectResult(text, data, model_page(path.name, plan.model, data) if plan is not None else "")

    async def prepare(self, params: PrepareParams) -> PrepareResult:
        """Fetch and encode a config's corpus."""
        path = await self._config_path(params.config_uri)
        result = PrepareResult(
            *await self._both("Preparing the text", ["prepare", str(path)], params.python, params.work_done_token)
        )
        key = await asyncio.get_running_loop().run_in_executor(None, file_key, path)
        plan = check(await self._config_text(path), None).plan
        self._prepared.add((key, plan.data if plan is not None else None))
        self._server.environment.forget()
        self._server.refresh_figures()
        return result

    def is_prepared(self, file: str, plan: Plan) -> bool | None:
        """Whether a config's text is known to have been encoded; None where nothing is known.

        `file` is the config as `Document.file_key` has it.
        """
        if (file, plan.data) in self._prepared:
            return True
        for run in self._server.registry.runs():
            if run.config_file == file and run.plan and run.plan.data == plan.data:
                return True
        return None

    async def doctor(self, params: DoctorParams) -> DoctorResult:
        """What the training interpreter has."""
        python = self._server.interpreters.path(params.python)
        answer = await self._both(
            "Checking this machine", ["doctor"], params.python, params.work_done_token, needs_torch=False
        )
        return DoctorResult(python, *answer)

    # ---- helpers ----------------------------------------------------------------------------------------------------

    async def _both(
        self, title: str, arguments: list[str], python: str | None, token: int | str | None, *, needs_torch: bool = True
    ) -> tuple[str, Any]:
        """Run a command for its JSON, and tell it as text: the report people read is made from the same JSON."""
        from trickster_server.runs.reports import report

        answer = await self._ask(title, arguments, python, token, needs_torch=needs_torch)
        return report(arguments[0], answer.data, answer.text), answer.data

    async def _ask(
        self, title: str, arguments: list[str], python: str | None, token: int | str | None, *, needs_torch: bool = True
    ) -> Answer:
        """Run a command for its JSON, in a process of its own, with progress and a cancel."""
        interpreters = self._server.interpreters
        interpreter = await interpreters.able_to_train(python) if needs_torch else interpreters.path(python)

        async def work(say: Callable[[str, int | None], None]) -> Answer:
            return await run_engine(interpreter, [*arguments, "--json"], on_line=lambda line: say(line, None))

        return await self._server.progress_bars.show(title, token, work)

    async def _run(self, run_id: str) -> FollowedRun:
        await self._server.registry.ready()
        found = self._server.registry.named(run_id)
        if len(found) > 1:
            paths = ", ".join(sorted(run.run_id for run in found))
            raise RequestError(
                ErrorCode.UNKNOWN_RUN, f"Several runs are called {run_id}: {paths}. Name one by its path."
            )
        if not found:
            raise RequestError(
                ErrorCode.UNKNOWN_RUN, f"There is no run {run_id} in this workspace.{self._known_runs()}"
            )
        return found[0]

    def _known_runs(self) -> str:
        names = sorted({run.directory.path.name for run in self._server.registry.runs()})
        if not names:
            return " It has none."
        return f" It has {', '.join(names[:_NAMED])}{' and others' if len(names) > _NAMED else ''}."

    async def _config_path(self, uri: str) -> Path:
        """The file behind an address, or behind a path: one that is not absolute is below a folder of the workspace."""
        path = path_of(uri)
        if path is None and "://" not in uri and uri.strip() and "\0" not in uri:
            named = Path(uri).expanduser() if uri.startswith("~") else Path(uri)
            places = [named] if named.is_absolute() else [folder / named for folder in self._server.folders()]
            there = await asyncio.get_running_loop().run_in_executor(
                None, lambda: [one for one in places if one.is_file()]
            )
            if not there and places:
                raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"Cannot read {places[0]}: there is no such file.")
            path = there[0] if there else None
        if path is None:
            raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"{uri} is not a file on this machine. Save it first.")
        return path

    async def _config_text(self, path: Path) -> str:
        try:
            data = await asyncio.get_running_loop().run_in_executor(None, read_config, path)
        except OSError as error:
            raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"Cannot read {path}: {error.strerror}.") from error
        return data.decode("utf-8", "replace")

    async def _model_path(self, run_id: str | None, checkpoint: str | None) -> str:
        if checkpoint is not None:
            return str(path_of(checkpoint) or checkpoint)
        if run_id is None:
            raise RequestError(ErrorCode.NO_CHECKPOINT, "Name a run or a checkpoint.")
        return str((await self._run(run_id)).directory.path)

    async def _worker(self, python: str | None) -> GenerationWorker:
        path = await self._server.interpreters.able_to_train(python)
        if path not in self._workers:
            self._workers[path] = GenerationWorker(path)
        return self._workers[path]


def _has_begun(directory: Path, pid: int) -> bool:
    """Whether a trainer holds the run, and has said so in its events."""
    holder = RunDirectory(directory).trainer()
    if holder is None or not is_run_directory(directory):
        return False
    # On Windows the process that was started may be a launcher, and the trainer its child.
    return holder.pid == pid or sys.platform == "win32"


def _given(options: SamplingOptions | None) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if value is not None} if options else {}


def _generated(token: dict[str, Any]) -> GeneratedToken:
    alternatives = [TokenProbability(**one) for one in token["alternatives"]]
    return GeneratedToken(token["id"], token["text"], token["probability"], alternatives)
