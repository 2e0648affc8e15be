"""Every request of `protocol.py`, and the same as commands for editors that only know those.

A command is a request with a voice: an editor that only sends `workspace/executeCommand` shows no result, so what
there is to say is said with `window/showMessage` or shown as a page.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from trickster_server import protocol
from trickster_server.documents import uri_of
from trickster_server.features.configs import Configs
from trickster_server.rpc import RequestError
from trickster_server.wire import WireError, from_wire

if TYPE_CHECKING:
    from trickster_server.app import TricksterServer
    from trickster_server.rpc import CommandHandler

logger = logging.getLogger(__name__)

Handler = Callable[[Any], Awaitable[Any]]


def handlers(server: TricksterServer) -> dict[str, Handler]:
    """Who answers which request."""
    runs, configs = server.runs, Configs(server)
    return {
        "trickster/listRuns": runs.list_runs,
        "trickster/startRun": runs.start_run,
        "trickster/resumeRun": runs.resume_run,
        "trickster/stopRun": runs.stop_run,
        "trickster/deleteRun": runs.delete_run,
        "trickster/runEvents": runs.run_events,
        "trickster/generate": runs.generate,
        "trickster/nextTokens": runs.next_tokens,
        "trickster/compare": runs.compare,
        "trickster/report": runs.report,
        "trickster/inspect": runs.inspect,
        "trickster/prepare": runs.prepare,
        "trickster/doctor": runs.doctor,
        "trickster/presets": configs.presets,
        "trickster/createConfig": configs.create_config,
        "trickster/describeConfig": configs.describe,
    }


def register(server: TricksterServer) -> None:
    """Register the requests and the commands."""
    answering = handlers(server)
    for request in protocol.REQUESTS:
        answer = _with_trust(server, request, answering[request.method])
        server.feature(request.method)(answer)
        if request.command is not None:
            handler = _command(server, request, answer)
            server.protocol.commands[request.command] = handler
            server.command(request.command)(handler)  # so that it is announced


def _with_trust(server: TricksterServer, request: protocol.Request, handler: Handler) -> Handler:
    """The one door to everything that a client can have done: only what reads is open without trust."""

    async def answer(params: Any) -> Any:
        if request.does != "only reads" and not server.trusted:
            raise RequestError(
                protocol.ErrorCode.NOT_TRUSTED,
                "This folder is not trusted, so nothing is started, written or removed. Trust it first.",
                {"errorCode": "not-trusted"},
            )
        return await handler(params)

    return answer


def params_of(request: protocol.Request, arguments: list[Any]) -> Any:
    """The params of a request from a command's arguments: an object, or a text that is the first field."""
    given = arguments[0] if arguments else {}
    if isinstance(given, str):
        parts = dataclasses.fields(request.params)
        given = {protocol.wire_name(parts[0].name): given} if parts else {}
    try:
        return from_wire(request.params, given)
    except WireError as error:
        raise JsonRpcInvalidParams(str(error)) from error


def _command(server: TricksterServer, request: protocol.Request, handler: Handler) -> CommandHandler:
    async def run(arguments: list[Any]) -> Any:
        try:
            result = await handler(params_of(request, arguments))
        except JsonRpcException as error:
            if error.code != types.LSPErrorCodes.RequestCancelled:
                server.window_show_message(types.ShowMessageParams(types.MessageType.Error, error.message))
            raise
        await _tell(server, request.method, result)
        return result

    return run


async def _tell(server: TricksterServer, method: str, result: Any) -> None:
    """Say what has come of a command."""
    words: str | None = None
    if isinstance(result, protocol.RunStarted):
        words = f"Training {Path(result.run_directory).name} as process {result.pid}. It goes on without the editor."
    elif isinstance(result, protocol.StopRunResult):
        words = "It saves and stops." if result.state == "stopping" else f"The run is {result.state}."
    elif isinstance(result, protocol.DeleteRunResult):
        words = f"Deleted: {', '.join(result.removed) or 'nothing'}."
        if result.kept:
            words += f" Not deleted, because nothing says that it is the run's: {', '.join(result.kept)}."
    elif isinstance(result, protocol.GenerateResult):
        words = result.prompt + result.text
    elif isinstance(result, protocol.CreateConfigResult):
        await _show(server, result.uri)
    elif isinstance(result, protocol.ReportResult):
        await _show(server, uri_of(Path(result.path)), external=True)
    elif isinstance(
        result, (protocol.CompareResult, protocol.InspectResult, protocol.PrepareResult, protocol.DoctorResult)
    ):
        await _show_page(server, method.removeprefix("trickster/"), result.report)
    if words is not None:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Info, words))


async def _show_page(server: TricksterServer, name: str, text: str) -> None:
    """Show a report as a page where the client can, else as a message."""
    window = server.client_capabilities.window
    if window is not None and window.show_document is not None and window.show_document.support:
        with contextlib.suppress(OSError):
            path = await asyncio.get_running_loop().run_in_executor(None, server.private.write, f"{name}.md", text)
            await _show(server, uri_of(path))
            return
    server.window_show_message(types.ShowMessageParams(types.MessageType.Info, text))


async def _show(server: TricksterServer, uri: str, *, external: bool = False) -> None:
    """Show a file, in the editor or with what the system has for it."""
    window = server.client_capabilities.window
    if window is None or window.show_document is None or not window.show_document.support:
        server.window_show_message(types.ShowMessageParams(types.MessageType.Info, f"Written: {uri}"))
        return
    with contextlib.suppress(JsonRpcException, asyncio.TimeoutError):
        await asyncio.wait_for(
            server.window_show_document_async(types.ShowDocumentParams(uri=uri, external=external)), 5.0
        )
