"""Does once, in a quiet moment after the start, what would make each first answer slow.

The converter between JSON and the protocol's types writes its code for a type when it first meets it, and the first
hover builds tables that later ones find built. Left to the first keystroke, each costs a person some 10 ms.
"""

from __future__ import annotations

import asyncio
from typing import Any

from lsprotocol import types

from trickster_engine.config.presets import preset_text
from trickster_server.documents import Document
from trickster_server.features.code_actions import quick_fixes
from trickster_server.features.code_lenses import code_lenses
from trickster_server.features.completion import completion
from trickster_server.features.diagnostics import to_diagnostic
from trickster_server.features.hover import hover
from trickster_server.features.inlay_hints import inlay_hints
from trickster_server.features.symbols import symbols
from trickster_server.lsp.dispatch import Dispatcher
from trickster_server.services import Services

_URI = "trickster:warm-up.trickster.yaml"
_PLACE = {"textDocument": {"uri": _URI}, "position": {"line": 4, "character": 4}}
_SPAN = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
_PARAMS: dict[str, Any] = {
    types.TEXT_DOCUMENT_DID_OPEN: {
        "textDocument": {"uri": _URI, "languageId": "yaml", "version": 1, "text": ""},
    },
    types.TEXT_DOCUMENT_DID_CHANGE: {
        "textDocument": {"uri": _URI, "version": 2},
        "contentChanges": [{"range": _SPAN, "text": ""}, {"text": ""}],
    },
    types.TEXT_DOCUMENT_HOVER: _PLACE,
    types.TEXT_DOCUMENT_COMPLETION: _PLACE,
    types.TEXT_DOCUMENT_CODE_LENS: {"textDocument": {"uri": _URI}},
    types.TEXT_DOCUMENT_DIAGNOSTIC: {"textDocument": {"uri": _URI}},
    types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: {"textDocument": {"uri": _URI}},
    types.TEXT_DOCUMENT_INLAY_HINT: {"textDocument": {"uri": _URI}, "range": _SPAN},
    types.TEXT_DOCUMENT_CODE_ACTION: {"textDocument": {"uri": _URI}, "range": _SPAN, "context": {"diagnostics": []}},
}


async def warm_up(services: Services, dispatcher: Dispatcher) -> None:
    """Go through every kind of message once, giving way to real ones after each."""
    document = Document(_URI, preset_text("nano").replace("hidden_dim", "hiden_dim", 1), 1, "yaml", "utf-16")
    structured: dict[str, Any] = {}
    for method, params in _PARAMS.items():
        await asyncio.sleep(0)
        structured[method] = dispatcher.structured(method, params)
    # Each of these answers is worked out and put into JSON, and then dropped.
    whole = structured[types.TEXT_DOCUMENT_INLAY_HINT].range
    for answer in (
        lambda: [to_diagnostic(problem, document, services.client) for problem in document.checked.problems],
        lambda: completion(document, services, structured[types.TEXT_DOCUMENT_COMPLETION]),
        lambda: quick_fixes(document, (), whole, services.client),
        lambda: symbols(document),
        lambda: hover(document, services, structured[types.TEXT_DOCUMENT_HOVER]),
        lambda: code_lenses(document, services, structured[types.TEXT_DOCUMENT_CODE_LENS]),
        lambda: inlay_hints(document, services, structured[types.TEXT_DOCUMENT_INLAY_HINT]),
    ):
        await asyncio.sleep(0)
        dispatcher.to_json(answer())
