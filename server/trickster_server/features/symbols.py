"""The outline of a config: its sections and keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from trickster_engine.config.yaml_document import Entry, Mapping, Scalar, Sequence
from trickster_server.documents import Document

if TYPE_CHECKING:
    from trickster_server.app import TricksterServer

_DEEPEST = 6


def symbols(document: Document) -> list[types.DocumentSymbol]:
    """Sections, with their keys inside."""
    root = document.parsed.root
    return [_symbol(entry, document, 1) for entry in root.entries] if isinstance(root, Mapping) else []


def _symbol(entry: Entry, document: Document, depth: int) -> types.DocumentSymbol:
    columns, value = document.columns, entry.value
    children: list[types.DocumentSymbol] | None = None
    detail = None
    if isinstance(value, Mapping):
        kind = types.SymbolKind.Namespace if depth == 1 else types.SymbolKind.Object
        if depth < _DEEPEST:
            children = [_symbol(inner, document, depth + 1) for inner in value.entries]
    elif isinstance(value, Sequence):
        kind = types.SymbolKind.Array
        detail = document.lines.slice(value.range)[:60] if value.flow else None
    else:
        kind = _scalar_kind(value)
        detail = value.text[:60].replace("\n", " ")
    return types.DocumentSymbol(
        name=entry.key.text.strip() or "(no name)",
        detail=detail,
        kind=kind,
        range=columns.range_to_client(entry.range),
        selection_range=columns.range_to_client(entry.key.range),
        children=children,
    )


def _scalar_kind(scalar: Scalar) -> types.SymbolKind:
    value = scalar.value
    if isinstance(value, bool):
        return types.SymbolKind.Boolean
    if isinstance(value, (int, float)):
        return types.SymbolKind.Number
    return types.SymbolKind.Null if value is None else types.SymbolKind.String


def register(server: TricksterServer) -> None:
    """Offer the outline."""

    def document_symbols(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
        document = server.documents.config(params.text_document.uri)
        return symbols(document) if document is not None else None

    server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)(document_symbols)
