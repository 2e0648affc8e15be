"""The outline of a config: its sections and keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lsprotocol import types

from trickster_engine.config.yaml.nodes import Entry, Mapping, Scalar, Sequence
from trickster_server.documents import Document
from trickster_server.lsp.client import Client
from trickster_server.services import Services

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


def _understood(symbol: types.DocumentSymbol, client: Client) -> types.DocumentSymbol:
    """A symbol, with kinds that this client knows."""
    if int(symbol.kind) not in client.symbol_kinds:
        symbol.kind = types.SymbolKind.Namespace if symbol.children else types.SymbolKind.String
    for child in symbol.children or []:
        _understood(child, client)
    return symbol


def _flat(found: Iterable[types.DocumentSymbol], uri: str, container: str | None) -> Iterator[types.SymbolInformation]:
    """The outline as a list, for clients that take no tree."""
    for symbol in found:
        yield types.SymbolInformation(
            name=symbol.name,
            kind=symbol.kind,
            location=types.Location(uri=uri, range=symbol.range),
            container_name=container,
        )
        yield from _flat(symbol.children or [], uri, symbol.name)


def document_symbols(
    document: Document, services: Services, _: types.DocumentSymbolParams
) -> list[types.DocumentSymbol] | list[types.SymbolInformation]:
    """The outline, as a tree where the client takes one."""
    found = [_understood(symbol, services.client) for symbol in symbols(document)]
    return found if services.client.symbol_tree else list(_flat(found, document.uri, None))
