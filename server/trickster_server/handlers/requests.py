"""Every request of `lsp/messages`: who answers it, and the one door that asks for trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trickster_server.handlers.commands import Handler
from trickster_server.handlers.configs import Configs
from trickster_server.handlers.inline_completion import InlineCompletion
from trickster_server.handlers.inside import Inside
from trickster_server.handlers.models import Models
from trickster_server.handlers.runs import Runs
from trickster_server.lsp import messages
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.services import Services


def answers(services: Services, models: Models, inline: InlineCompletion) -> Iterator[tuple[messages.Request, Handler]]:
    """Each request with what answers it."""
    runs, configs, inside = Runs(services), Configs(services, models), Inside(models)
    handlers: dict[str, Handler] = {
        "trickster/listRuns": runs.list_runs,
        "trickster/startRun": runs.start_run,
        "trickster/resumeRun": runs.resume_run,
        "trickster/stopRun": runs.stop_run,
        "trickster/deleteRun": runs.delete_run,
        "trickster/runEvents": runs.run_events,
        "trickster/generate": models.generate,
        "trickster/nextTokens": models.next_tokens,
        "trickster/complete": models.complete,
        "trickster/completeWith": inline.use,
        "trickster/stopCompleting": inline.stop,
        "trickster/compare": models.compare,
        "trickster/report": models.report,
        "trickster/inspect": models.inspect,
        "trickster/prepare": models.prepare,
        "trickster/doctor": models.doctor,
        "trickster/presets": configs.presets,
        "trickster/createConfig": configs.create_config,
        "trickster/describeConfig": configs.describe,
        "trickster/inside": inside.inside,
        "trickster/insideWhatIf": inside.what_if,
        "trickster/insideEmbedding": inside.embedding,
        "trickster/insideNeuron": inside.neuron,
        "trickster/insideHistory": inside.history,
    }
    for request in messages.REQUESTS:
        handler = handlers[request.method]
        yield request, handler if request.does == "only reads" else _with_trust(services, handler)


def _with_trust(services: Services, handler: Handler) -> Handler:
    """The one door to everything that a client can have done: only what reads is open without trust."""

    async def answer(params: Any) -> Any:
        if not services.trusted:
            raise RequestError(
                ErrorCode.NOT_TRUSTED,
                "This folder is not trusted, so Trickster starts, writes and deletes nothing. Trust it first.",
                {"errorCode": "not-trusted"},
            )
        return await handler(params)

    return answer
