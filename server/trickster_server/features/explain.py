"""What a section, a key or a value means, in short Markdown: from the key table alone, without this file's numbers."""

from __future__ import annotations

from trickster_engine.config.keys import Key
from trickster_engine.config.yaml.scalars import as_yaml, number_text

_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "text": "text",
    "path": "a path",
    "mesh": "two whole numbers",
    "paths": "a path, or a list of paths",
    "patterns": "a list of patterns",
    "sources": "a path, or a list of `{path, weight}`",
}


def key_text(key: Key) -> str:
    """A key: what it is, what it does, what it may be."""
    return "\n\n".join([key.doc, *([key.effect] if key.effect else []), facts_line(key)])


def facts_line(key: Key) -> str:
    """Default, range and unit on one line."""
    allowed = range_text(key)
    if key.unit:
        allowed = f"{allowed} {key.unit}" if allowed[-1:].isdigit() else f"{allowed}, in {key.unit}"
    return " · ".join(part for part in (f"Default {_default(key)}", allowed) if part)


def default_text(key: Key) -> str:
    """The default for the right edge of a completion list."""
    return key.default_note or (as_yaml(key.default) if key.default is not None else "optional")


def _default(key: Key) -> str:
    if key.default_note:
        return key.default_note
    return f"`{as_yaml(key.default)}`" if key.default is not None else "none"


def range_text(key: Key) -> str:
    """What a key may be: its choices, its bounds, or its type."""
    if key.choices:
        return " or ".join(f"`{name}`" for name in key.choices)
    if key.minimum is not None and key.maximum is not None:
        return f"{_bound(key.minimum)} to {_bound(key.maximum)}"
    bounds = (
        ("more than {}", key.above),
        ("{} or more", key.minimum),
        ("less than {}", key.below),
        ("up to {}", key.maximum),
    )
    if found := [words.format(_bound(bound)) for words, bound in bounds if bound is not None]:
        return ", ".join(found)
    return ", ".join([*(f"`{name}`" for name in key.suggestions), _TYPE_WORDS.get(key.type, "")])


def _bound(bound: float) -> str:
    if float(bound).is_integer() and abs(bound) <= 1e12:
        return f"{int(bound):,}"
    return number_text(float(bound))


def value_text(key: Key, value: object) -> str:
    """What one value of a key means, where it has a meaning of its own."""
    return key.named_values.get(value, "") if isinstance(value, str) else ""
