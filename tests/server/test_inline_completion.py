"""What the server asks a model for at a key, and what becomes of an answer that comes too late."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from lsprotocol import types
from trickster_server.documents import Documents
from trickster_server.handlers.inline_completion import InlineCompletion
from trickster_server.handlers.models import Models
from trickster_server.lsp.messages.completing import CompleteWithParams
from trickster_server.lsp.messages.models import CompleteParams, CompleteResult
from trickster_server.services import Services

URI = "file:///notes.md"


def test_what_a_model_is_told_of_a_long_text_and_of_one_that_changes_meanwhile() -> None:
    documents = Documents()
    asked: list[CompleteParams] = []

    class Slow:
        async def complete(self, params: CompleteParams) -> CompleteResult:
            asked.append(params)
            if params.before.endswith("!"):  # somebody types on while the model writes
                change = types.TextDocumentContentChangeWholeDocument("other")
                names = types.VersionedTextDocumentIdentifier(2, URI)
                documents.changed(types.DidChangeTextDocumentParams(names, [change]))
            return CompleteResult("more", "runs/a", 1, 0.0)

    services = SimpleNamespace(documents=documents, trusted=True, options=SimpleNamespace(completion_files=None))
    inline = InlineCompletion(cast(Services, services), cast(Models, Slow()))

    async def offered(text: str) -> Any:
        await inline.use(CompleteWithParams(run_id="a"))
        documents.opened(types.TextDocumentItem(URI, "markdown", 1, text))
        context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic)
        where = types.TextDocumentIdentifier(URI), types.Position(0, len(text))
        return await inline.offer(types.InlineCompletionParams(context, *where))

    assert asyncio.run(offered("short ")) is not None
    assert asked[-1].from_beginning
    assert asyncio.run(offered("long " * 10_000)) is not None
    assert not asked[-1].from_beginning  # what is sent begins in the middle, where no document begins
    assert asyncio.run(offered("changed!")) is None
