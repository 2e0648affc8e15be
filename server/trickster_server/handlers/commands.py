"""The requests of `lsp/messages` as commands, for editors that only know those.

A command is a request with a voice: an editor that sends `workspace/executeCommand` shows no result, so whatever comes
of it is said with `window/showMessage` or shown as a page. Such an editor often sends no argument either: then the only
open config is meant, and its runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from trickster_engine.config.presets import preset_names
from trickster_engine.system.printable import printable
from trickster_engine.system.units import short_count_text
from trickster_server.features.code_lenses import runs_of
from trickster_server.lsp import messages
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages.completing import CompleteWithResult, StopCompletingResult
from trickster_server.lsp.messages.configs import CreateConfigResult, PresetInfo, PresetsResult
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.lsp.messages.fields import wire_name
from trickster_server.lsp.messages.models import (
    GenerateResult,
    ReportResult,
)
from trickster_server.lsp.messages.runs import DeleteRunResult, ListRunsResult, RunInfo, RunStarted, StopRunResult
from trickster_server.lsp.wire import WireError, from_wire
from trickster_server.paths import path_of, uri_of
from trickster_server.runs.followed import FollowedRun
from trickster_server.services import Services

Handler = Callable[[Any], Coroutine[Any, Any, Any]]

_MESSAGE_LENGTH = 200
_STARTING = {
    "trickster/startRun": "Starting to train. It takes some seconds until the first step.",
    "trickster/resumeRun": "Starting to resume. It takes some seconds until the next step.",
}
#: Which run is meant where none is named: the word for its kind, and whether a run is of that kind.
_WANTED: dict[str, tuple[str, Callable[[FollowedRun], bool]]] = {
    "trickster/stopRun": ("is training", lambda run: run.live),
    "trickster/resumeRun": ("can be resumed", lambda run: run.resumable),
    **dict.fromkeys(
        ("trickster/generate", "trickster/completeWith", "trickster/compare", "trickster/report"),
        ("has a checkpoint", lambda run: bool(run.checkpoints())),
    ),
}


def command(services: Services, request: messages.Request, handler: Handler) -> Handler:
    """The command that does what a request does, and says what has come of it."""

    async def run(arguments: list[Any]) -> Any:
        try:
            params = params_of(request, await _completed(services, request, arguments))
            result = await _with_sign_of_life(services, request.method, lambda: handler(params))
        except JsonRpcException as error:
            if error.code != types.LSPErrorCodes.RequestCancelled:
                services.show_message(types.MessageType.Error, error.message)
            raise
        await _tell(services, request.method, result)
        return result

    return run


# ---- arguments ------------------------------------------------------------------------------------------------------


def params_of(request: messages.Request, arguments: list[Any]) -> Any:
    """The params of a request from a command's arguments: an object, or a text that is the first field."""
    try:
        return from_wire(request.params, _given(request, arguments))
    except WireError as error:
        raise JsonRpcInvalidParams(str(error)) from error


def _given(request: messages.Request, arguments: list[Any]) -> Any:
    given = arguments[0] if arguments else None
    if isinstance(given, str):
        parts = dataclasses.fields(request.params)
        return {wire_name(parts[0].name): given} if parts else {}
    return {} if given is None else given


async def _completed(services: Services, request: messages.Request, arguments: list[Any]) -> list[Any]:
    """The arguments, with what an editor cannot say filled in where only one thing can be meant."""
    given = _given(request, arguments)
    if not isinstance(given, dict):
        return arguments
    names = {part.name for part in dataclasses.fields(request.params)}
    if "config_uri" in names and not given.get("configUri"):
        return [{**given, "configUri": _only_config(services)}]
    if request.method in _WANTED and not given.get("runId") and not given.get("checkpoint"):
        await services.registry.ready()
        return [{**given, "runId": _run_meant(services, request.method)}]
    if request.method == "trickster/createConfig":
        folders = services.folders()
        if not given.get("preset"):
            raise JsonRpcInvalidParams(f"Choose a preset: {', '.join(preset_names())}.")
        if not given.get("folderUri") and len(folders) == 1:
            return [{**given, "folderUri": uri_of(folders[0])}]
    if "run_id" in names and not given.get("runId") and request.method not in _WANTED:
        raise JsonRpcInvalidParams("Name a run.")
    return [given]


def _only_config(services: Services) -> str:
    configs = services.documents.configs()
    if len(configs) == 1:
        return configs[0].uri
    if not configs:
        raise JsonRpcInvalidParams("No config is open. Open one, or pass its path to the command.")
    names = ", ".join(sorted(Path(one.path).name if one.path else one.uri for one in configs))
    raise JsonRpcInvalidParams(f"Several configs are open: {names}. Name one of them.")


def _run_meant(services: Services, method: str) -> str:
    words, fits = _WANTED[method]
    configs = services.documents.configs()
    runs = runs_of(configs[0], services) if len(configs) == 1 else services.registry.runs()
    fitting = sorted(filter(fits, runs), key=lambda run: run.created, reverse=True)
    if not fitting:
        where = f"of {configs[0].path.name} " if len(configs) == 1 and configs[0].path is not None else ""
        raise RequestError(ErrorCode.UNKNOWN_RUN, f"No run {where}{words}.")
    if method == "trickster/stopRun" and len(fitting) > 1:
        names = ", ".join(sorted(run.directory.path.name for run in fitting))
        raise JsonRpcInvalidParams(f"Several runs are training: {names}. Name one of them.")
    return fitting[0].run_id


# ---- what is said ---------------------------------------------------------------------------------------------------


async def _with_sign_of_life(services: Services, method: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Do what a command asks for; where that is to start training, say at once that it has been heard."""
    words = _STARTING.get(method)
    if words is None:
        return await work()
    services.say(words)
    title = words.partition(".")[0]
    return await services.progress_bars.show(title, None, lambda report: work(), cancellable=False)


async def _tell(services: Services, method: str, result: Any) -> None:
    """Say what has come of a command."""
    if isinstance(result, RunStarted):
        name = Path(result.run_directory).name
        services.say(f"Training {name} as process {result.pid}. It continues without the editor.")
    elif isinstance(result, StopRunResult):
        services.say(
            "The run is saving and will stop." if result.state == "stopping" else f"The run is {result.state}."
        )
    elif isinstance(result, DeleteRunResult):
        words = f"Deleted: {', '.join(result.removed) or 'nothing'}."
        if result.kept:
            words += f" Not deleted, because it may not belong to the run: {', '.join(result.kept)}."
        services.say(words)
    elif isinstance(result, GenerateResult):
        await _show_text(services, "generated", printable(result.prompt + result.text))
    elif isinstance(result, CompleteWithResult):
        step = f" (step {result.step:,})" if result.step is not None else ""
        services.say(f"{result.name}{step} completes what you type in {', '.join(result.files) or 'no file'}.")
    elif isinstance(result, StopCompletingResult):
        services.say(f"{result.name} completes no more." if result.name is not None else "No model completed.")
    elif isinstance(result, CreateConfigResult):
        await _show(services, result.uri)
    elif isinstance(result, ReportResult):
        await _show(services, uri_of(Path(result.path)), external=True)
    elif isinstance(result, ListRunsResult):
        await _show_text(services, "runs", _runs_text(result.runs))
    elif isinstance(result, PresetsResult):
        await _show_text(services, "presets", _presets_text(result.presets))
    elif (report := getattr(result, "report", None)) is not None:
        await _show_page(services, method.removeprefix("trickster/"), report)


def _runs_text(runs: list[RunInfo]) -> str:
    if not runs:
        return "There are no runs in this workspace."
    rows = ["| run | state | step | validation loss |", "|:--|:--|--:|--:|"]
    for run in runs:
        loss = f"{run.val_loss:.4f}" if run.val_loss is not None else ""
        steps = f"{run.step:,} of {run.max_steps:,}" if run.max_steps is not None else f"{run.step:,}"
        rows.append(f"| {run.name} | {run.state} | {steps} | {loss} |")
    return "\n".join(["# Runs", "", *rows])


def _presets_text(presets: list[PresetInfo]) -> str:
    rows = [f"- **{one.name}** ({short_count_text(one.parameters)} parameters): {one.description}" for one in presets]
    return "\n".join(["# Presets", "", *rows])


async def _show_text(services: Services, name: str, text: str) -> None:
    """Say what fits on a line, and show the rest as a page."""
    if "\n" not in text and len(text) <= _MESSAGE_LENGTH:
        services.say(text)
    else:
        await _show_page(services, name, text)


async def _show_page(services: Services, name: str, text: str) -> None:
    """Write a text into a file of ours and show that, because an editor's message is often one line.

    In a folder that is not trusted nothing is written, and the message has to do.
    """
    if not services.trusted:
        services.say(text)
        return
    try:
        path = await asyncio.to_thread(services.private.write, f"{name}.md", text)
    except OSError:
        services.say(text)
        return
    await _show(services, uri_of(path))


async def _show(services: Services, uri: str, *, external: bool = False) -> None:
    """Show a file, in the editor or with what the system has for it; where the client cannot, say where it is."""
    if services.client.shows_documents:
        params = types.ShowDocumentParams(uri=uri, external=external, take_focus=True)
        with contextlib.suppress(JsonRpcException, asyncio.TimeoutError):
            answer = await asyncio.wait_for(services.server.window_show_document_async(params), 5.0)
            if answer is not None and answer.success:
                services.say(f"Opened {path_of(uri) or uri}")
                return
    services.say(f"Written: {path_of(uri) or uri}")
