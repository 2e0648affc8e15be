"""The JSON Schema of a config, for YAML tools other than ours.

It describes (types, limits, documentation) and does not forbid: beside our own diagnostics a strict schema would say
everything twice. Made from the key table, and kept in `trickster.schema.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import trickster_engine.config
from trickster_engine.config.keys import SECTIONS, Key, Section
from trickster_engine.config.keys.names import RETIRED_KEYS
from trickster_engine.config.keys.spec import Alias

SCHEMA_FILE: Final = Path(trickster_engine.config.__file__).with_name("trickster.schema.json")


def schema_text() -> str:
    """Return the schema as it stands in `trickster.schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """Return the schema."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Trickster config",
        "description": "Everything about one training run: the model, how it learns, where, and from what text.",
        "type": "object",
        "properties": {section.name: _section(section) for section in SECTIONS.values()},
    }


def _section(section: Section) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for key in section.keys.values():
        properties[key.name] = _key(key)
    for key in section.keys.values():
        for alias in key.aliases:
            properties[alias.name] = _alias(key, alias)
    for retired in RETIRED_KEYS.values():
        name, _, bare = retired.path.partition(".")
        if name == section.name:
            properties[bare] = {
                "description": f"Changes nothing any more. {retired.note}",
                "enum": list(retired.accepted),
                "deprecationMessage": retired.note,
            }
    return {"type": ["object", "null"], "description": section.doc, "properties": properties}


def _key(key: Key) -> dict[str, Any]:
    described: dict[str, Any] = {"description": _plain(key), "markdownDescription": _markdown(key)}
    described.update(_type(key))
    if key.default is not None and not key.default_note:
        described["default"] = _json(key.default)
    if key.examples:
        described["examples"] = [_json(example) for example in key.examples]
    return described


def _type(key: Key) -> dict[str, Any]:
    if key.type == "mesh":
        device = {"type": "integer", "minimum": key.minimum, "maximum": key.maximum}
        return {"type": "array", "items": device, "minItems": 2, "maxItems": 2}
    if key.type in ("paths", "patterns"):
        nothing = [{"type": "null"}] if key.optional else []
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, *nothing]}
    if key.choices:
        return {"enum": list(key.choices), "markdownEnumDescriptions": list(key.choices.values())}
    if key.suggestions:
        # Any text, with some names that an editor can offer.
        named = {"enum": list(key.suggestions), "markdownEnumDescriptions": list(key.suggestions.values())}
        others: list[dict[str, Any]] = [{"type": "string"}]
        if key.type == "sources":
            source = {"path": {"type": "string"}, "weight": {"type": "integer", "minimum": 1}}
            others.append({"type": "array", "items": {"type": "object", "properties": source, "required": ["path"]}})
        return {"anyOf": [named, *others]}
    described: dict[str, Any] = {"type": {"text": "string", "path": "string"}.get(key.type, key.type)}
    if key.optional:
        described["type"] = [described["type"], "null"]
    for name, limit in (
        ("minimum", key.minimum),
        ("exclusiveMinimum", key.above),
        ("maximum", key.maximum),
        ("exclusiveMaximum", key.below),
    ):
        if limit is not None:
            described[name] = limit
    return described


def _alias(key: Key, alias: Alias) -> dict[str, Any]:
    note = alias.note or f"Another name of {key.name}, which is the better one."
    described: dict[str, Any] = {"description": note, "deprecationMessage": f"Use {key.name}."}
    described.update({"type": "boolean"} if alias.values is not None else _type(key))
    return described


def _plain(key: Key) -> str:
    return f"{key.doc} {key.effect}".strip() + (f" In {key.unit}." if key.unit else "")


def _markdown(key: Key) -> str:
    paragraphs = [key.doc, key.effect]
    if key.default_note:
        paragraphs.append(f"Left out: {key.default_note}.")
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _json(value: object) -> Any:
    return list(value) if isinstance(value, tuple) else value
