"""Every request of `messages.py`: who answers it, and the one door that asks for trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trickster_server.handlers.commands import Handler, command
from trickster_server.handlers.configs import Configs
from trickster_server.lsp import messages
from trickster_server.lsp.dispatch import RequestError

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer


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
    for request in messages.REQUESTS:
        answer = _with_trust(server, request, answering[request.method])
        server.feature(request.method)(answer)
        if request.command is not None:
            handler = command(server, request, answer)
            server.protocol.commands[request.command] = handler
            server.command(request.command)(handler)  # so that it is announced


def _with_trust(server: TricksterServer, request: messages.Request, handler: Handler) -> Handler:
    """The one door to everything that a client can have done: only what reads is open without trust."""

    async def answer(params: Any) -> Any:
        if request.does != "only reads" and not server.trusted:
            raise RequestError(
                messages.ErrorCode.NOT_TRUSTED,
                "This folder is not trusted, so Trickster starts, writes and deletes nothing. Trust it first.",
                {"errorCode": "not-trusted"},
            )
        return await handler(params)

    return answer
