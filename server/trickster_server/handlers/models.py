"""Answers to requests about models: writing with one, measuring what was learned, looking at one before training."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from trickster_engine.config.check import check
from trickster_engine.config.plan import Plan
from trickster_engine.data.cache import known_cache_directory
from trickster_engine.evaluation.report.model_page import model_page
from trickster_engine.runs import REPORT_FILE
from trickster_server.handlers.named import config_path, config_text, run_named
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages import models as messages
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.paths import file_key, path_of
from trickster_server.runs.engine_process import Answer, run_engine
from trickster_server.runs.pages import report
from trickster_server.runs.report_cache import is_fresh, remember
from trickster_server.runs.worker import GenerationWorker
from trickster_server.services import Services

Asking = (
    messages.CompareParams
    | messages.ReportParams
    | messages.InspectParams
    | messages.PrepareParams
    | messages.DoctorParams
)
"""Params of a request that is answered by a command of the engine."""


class Models:
    """Uses models for one client, in processes beside the server."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._workers: dict[tuple[str, str], GenerationWorker] = {}
        self._prepared: set[tuple[str, object]] = set()

    async def close(self) -> None:
        """End what must not outlive the server. Training goes on."""
        await asyncio.gather(*(worker.close() for worker in self._workers.values()))

    def interpreter_changed(self) -> None:
        """Workers of another interpreter are of no use any more."""
        keep = self._services.interpreters.path(None)
        for key in [key for key in self._workers if key[0] != keep]:
            self._services.spawn(self._workers.pop(key).close(), "end a worker")

    async def generate(self, params: messages.GenerateParams) -> messages.GenerateResult:
        """Write text, streamed to the client's token."""
        path = await self.model_path(params.run_id, params.checkpoint)
        worker = await self.worker(params.python)

        def on_part(part: dict[str, Any]) -> None:
            if params.partial_result_token is not None:
                tokens = [_generated(token) for token in part["tokens"]]
                self._services.send_partial(params.partial_result_token, messages.GeneratePart(part["text"], tokens))

        request = {
            "path": path,
            "prompt": params.prompt,
            "options": _given(params.sampling),
            "probabilities": max(params.probabilities, 0),
        }
        answer = await self._services.progress_bars.show(
            "Generating",
            params.work_done_token,
            lambda report: worker.ask("generate", request, on_part),
            ask_client=False,
        )
        return messages.GenerateResult(**answer)

    async def next_tokens(self, params: messages.NextTokensParams) -> messages.NextTokensResult:
        """The most likely next tokens."""
        path = await self.model_path(params.run_id, params.checkpoint)
        worker = await self.worker(params.python)
        options = _given(params.sampling) if params.sampling is not None else None
        request = {"path": path, "text": params.text, "count": max(params.count, 1), "options": options}
        answer = await worker.ask("next_tokens", request)
        tokens = [messages.TokenProbability(**token) for token in answer["tokens"]]
        return messages.NextTokensResult(tokens, answer["checkpoint"], answer["entropy"])

    async def complete(self, params: messages.CompleteParams) -> messages.CompleteResult:
        """What a model would go on with."""
        path = await self.model_path(params.run_id, params.checkpoint)
        # In a process of its own: a key does not wait for a text that the playground has asked for.
        worker = await self.worker(params.python, "completion")
        rules = {"one_line": params.one_line, "confidence": params.confidence, "most_tokens": params.max_tokens}
        request = {
            "path": path,
            "before": params.before,
            "from_beginning": params.from_beginning,
            "rules": {name: value for name, value in rules.items() if value is not None},
        }
        return messages.CompleteResult(**await worker.ask("complete", request))

    async def compare(self, params: messages.CompareParams) -> messages.CompareResult:
        """The proof of learning."""
        run = await run_named(self._services, params.run_id)
        arguments = ["compare", str(run.directory.path)]
        return messages.CompareResult(*await self._both("Comparing with the untrained model", arguments, params))

    async def report(self, params: messages.ReportParams) -> messages.ReportResult:
        """What a run has learned, as a page in its directory; made where there is none or it is out of date."""
        run = await run_named(self._services, params.run_id)
        if not run.checkpoints():
            name = run.directory.path.name
            raise RequestError(ErrorCode.NO_CHECKPOINT, f"{name} has not saved a checkpoint yet.")
        page = run.directory.path / REPORT_FILE
        in_thread = self._services.registry.in_thread
        cache = known_cache_directory()
        if cache is not None and await in_thread(lambda: is_fresh(run.directory, cache)):
            return messages.ReportResult(str(page))
        made_from = run.next
        arguments = ["report", str(run.directory.path), "--output", str(page)]
        answer = await self._ask("Measuring what the run learned", arguments, params)
        if cache is not None:
            with contextlib.suppress(OSError):  # it is made anew the next time, then
                await in_thread(lambda: remember(run.directory, cache, made_from))
        return messages.ReportResult(str(page), answer.data)

    async def inspect(self, params: messages.InspectParams) -> messages.InspectResult:
        """A config's model before training."""
        path = await config_path(self._services, params.config_uri)
        plan = check(await config_text(path), path.parent).plan
        text, data = await self._both("Inspecting the model", ["inspect", str(path)], params)
        return messages.InspectResult(text, data, model_page(path.name, plan.model, data) if plan is not None else "")

    async def prepare(self, params: messages.PrepareParams) -> messages.PrepareResult:
        """Fetch and encode a config's corpus."""
        path = await config_path(self._services, params.config_uri)
        result = messages.PrepareResult(*await self._both("Preparing the text", ["prepare", str(path)], params))
        key = await asyncio.to_thread(file_key, path)
        plan = check(await config_text(path), None).plan
        self._prepared.add((key, plan.data if plan is not None else None))
        self._services.environment.forget()
        self._services.refresh_figures()
        return result

    def is_prepared(self, file: str, plan: Plan) -> bool | None:
        """Whether a config's text is known to have been encoded; None where nothing is known.

        `file` is the config as `Document.file_key` has it.
        """
        if (file, plan.data) in self._prepared:
            return True
        runs = self._services.registry.runs()
        return any(run.config_file == file and run.plan and run.plan.data == plan.data for run in runs) or None

    async def doctor(self, params: messages.DoctorParams) -> messages.DoctorResult:
        """What the training interpreter has."""
        python = self._services.interpreters.path(params.python)
        return messages.DoctorResult(
            python, *await self._both("Checking this machine", ["doctor"], params, needs_torch=False)
        )

    async def _both(
        self, title: str, arguments: list[str], params: Asking, *, needs_torch: bool = True
    ) -> tuple[str, Any]:
        """Run a command for its JSON, and tell it as text: the report people read is made from the same JSON."""
        answer = await self._ask(title, arguments, params, needs_torch=needs_torch)
        return report(arguments[0], answer.data, answer.text), answer.data

    async def _ask(self, title: str, arguments: list[str], params: Asking, *, needs_torch: bool = True) -> Answer:
        """Run a command for its JSON, in a process of its own, with progress and a cancel."""
        interpreters = self._services.interpreters
        python = params.python
        interpreter = await interpreters.able_to_train(python) if needs_torch else interpreters.path(python)

        async def work(say: Callable[[str, int | None], None]) -> Answer:
            return await run_engine(interpreter, [*arguments, "--json"], on_line=lambda line: say(line, None))

        return await self._services.progress_bars.show(title, params.work_done_token, work)

    async def model_path(self, run_id: str | None, checkpoint: str | None) -> str:
        """The folder that a request means. Raises RequestError."""
        if checkpoint is not None:
            return str(path_of(checkpoint) or checkpoint)
        if run_id is None:
            raise RequestError(ErrorCode.NO_CHECKPOINT, "Name a run or a checkpoint.")
        return str((await run_named(self._services, run_id)).directory.path)

    async def worker(self, python: str | None, use: str = "generation") -> GenerationWorker:
        """The process that keeps models for a use. Raises RequestError where no interpreter has torch."""
        key = await self._services.interpreters.able_to_train(python), use
        if key not in self._workers:
            self._workers[key] = GenerationWorker(key[0])
        return self._workers[key]


def _given(options: messages.SamplingOptions | None) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if value is not None} if options else {}


def _generated(token: dict[str, Any]) -> messages.GeneratedToken:
    alternatives = [messages.TokenProbability(**one) for one in token["alternatives"]]
    return messages.GeneratedToken(token["id"], token["text"], token["probability"], alternatives)
