"""Completion of sections, keys and values, worked out from the lines around the cursor: unfinished YAML is the rule."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from trickster_engine.config.keys import LIST_TYPES, SECTIONS, Key, Section
from trickster_engine.config.places import Place
from trickster_engine.config.presets import preset_names, preset_text
from trickster_engine.config.starting_weights import INIT, TEACHER
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_server.documents import Document
from trickster_server.features.explain import default_text, key_text, value_text
from trickster_server.lsp.client import Client, content
from trickster_server.services import Services


def complete(document: Document, position: types.Position, models: Sequence[str] = ()) -> list[types.CompletionItem]:
    """What could be written at a position. `models` are folders that `init_from` or `distill_from` could name."""
    place = document.parsed.place_at(document.columns.from_client(position))
    if place.kind == "comment":
        return []
    span = document.columns.range_to_client(place.range)
    if place.kind == "section":
        return [*_sections(document, place, span), *_presets(document, span)]
    section = SECTIONS.get(place.section or "")
    if section is None:
        return []
    if place.kind == "key":
        return _keys(document, section, place, span)
    key = section.keys.get(place.name or "")
    if key is None:
        return []
    if place.in_list and key.type not in LIST_TYPES:
        return []
    return _values(key, span, models if key.path in (INIT, TEACHER) else (), in_list=place.in_list)


def _item(
    label: str,
    span: types.Range,
    new_text: str,
    order: int,
    kind: types.CompletionItemKind,
    detail: str | None,
    documentation: str,
) -> types.CompletionItem:
    return types.CompletionItem(
        label=label,
        kind=kind,
        detail=detail,
        documentation=documentation or None,
        sort_text=f"{order:04d}",  # in the order of the table, which is the order of importance
        filter_text=label,
        text_edit=types.TextEdit(range=span, new_text=new_text),
        insert_text_format=types.InsertTextFormat.PlainText,
    )


def _has_colon(document: Document, place: Place) -> bool:
    """Whether the name at a place is written as one already: then only the name is replaced."""
    line = document.lines.line(place.range.start.line)
    return line[place.range.end.character :].lstrip().startswith(":")


def _sections(document: Document, place: Place, span: types.Range) -> list[types.CompletionItem]:
    ending = "" if _has_colon(document, place) else ":\n  "
    return [
        _item(name, span, name + ending, number, types.CompletionItemKind.Module, None, section.doc.strip())
        for number, (name, section) in enumerate(SECTIONS.items())
        if name not in place.present
    ]


def _presets(document: Document, span: types.Range) -> list[types.CompletionItem]:
    """In an empty file: whole configs to start from."""
    if len(document.text.split()) > 1:
        return []
    return [
        _item(
            f"preset: {name}",
            span,
            preset_text(name),
            100 + number,
            types.CompletionItemKind.Snippet,
            "a whole config",
            f"```yaml\n{preset_text(name)}\n```",
        )
        for number, name in enumerate(preset_names())
    ]


def _keys(document: Document, section: Section, place: Place, span: types.Range) -> list[types.CompletionItem]:
    has_colon = _has_colon(document, place)
    # At the margin of a section's empty line, the keys' own indentation is put in front.
    at_margin = not document.lines.line(place.range.start.line)[: place.range.start.character]
    items = []
    for number, (name, key) in enumerate(section.keys.items()):
        if name in place.present or any(alias.name in place.present for alias in key.aliases):
            continue
        # The default stands there already, for those who only want to see the key written down.
        new_text = name if has_colon else f"{name}: {as_yaml(key.default) if key.default is not None else ''}"
        new_text = (place.indent or "") + new_text if at_margin else new_text
        kind = types.CompletionItemKind.Property
        items.append(_item(name, span, new_text, number, kind, default_text(key), key_text(key)))
    return items


def _values(key: Key, span: types.Range, found: Sequence[str], *, in_list: bool) -> list[types.CompletionItem]:
    values: list[object] = [*found, *key.named_values, *((True, False) if key.type == "boolean" else ())]
    values += [*(() if key.default is None else (key.default,)), *key.examples]
    if in_list:
        values = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
    items: dict[str, types.CompletionItem] = {}
    for value in values:
        written = as_yaml(value)
        if written not in items:
            named = isinstance(value, str) and value in key.named_values
            kind = types.CompletionItemKind.EnumMember if named else types.CompletionItemKind.Value
            detail = "default" if value == key.default and type(value) is type(key.default) else None
            items[written] = _item(written, span, written, len(items), kind, detail, value_text(key, value))
    return list(items.values())


def _understood(item: types.CompletionItem, client: Client) -> types.CompletionItem:
    """An item as this client reads it."""
    if isinstance(item.documentation, str):
        item.documentation = content(item.documentation, client.markdown_completion)
    if item.kind is not None and int(item.kind) not in client.completion_kinds:
        item.kind = types.CompletionItemKind.Value
    return item


def completion(document: Document, services: Services, params: types.CompletionParams) -> types.CompletionList:
    """What could be written at a place of a config."""
    models = services.environment.models(document)
    items = [_understood(item, services.client) for item in complete(document, params.position, models)]
    return types.CompletionList(is_incomplete=False, items=items)
