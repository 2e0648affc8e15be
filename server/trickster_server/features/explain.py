"""What a section, a key or a value means, in short Markdown: from the key table alone, without this file's numbers."""

from __future__ import annotations

from trickster_engine.config.keys import Key, Section
from trickster_engine.config.yaml.scalars import as_yaml, number_text

_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true` or `false`",
    "text": "text",
    "path": "a path",
    "mesh": "two whole numbers",
}


def section_text(section: Section) -> str:
    """A section in a sentence or two."""
    return section.doc.strip()


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
    low = _bound(key.minimum) or (f"more than {_bound(key.above)}" if key.above is not None else "")
    high = _bound(key.maximum) or (f"less than {_bound(key.below)}" if key.below is not None else "")
    if low and high:
        joined = f"{low} to {high}" if key.minimum is not None and key.maximum is not None else f"{low}, {high}"
        return joined if key.minimum is not None and key.maximum is not None else _open_range(key)
    if low:
        return low if key.above is not None else f"{low} or more"
    if high:
        return f"up to {high}" if key.maximum is not None else high
    named = [f"`{name}`" for name in key.suggestions]
    return ", ".join([*named, _TYPE_WORDS.get(key.type, "")])


def _open_range(key: Key) -> str:
    low = f"more than {_bound(key.above)}" if key.above is not None else f"from {_bound(key.minimum)}"
    high = f"less than {_bound(key.below)}" if key.below is not None else f"at most {_bound(key.maximum)}"
    return f"{low}, {high}"


def _bound(bound: float | None) -> str:
    if bound is None:
        return ""
    if float(bound).is_integer() and abs(bound) <= 1e12:
        return f"{int(bound):,}"
    return number_text(float(bound))


def value_text(key: Key, value: object) -> str:
    """What one value of a key means, where it has a meaning of its own."""
    for name, documentation in key.named_values.items():
        if name == value:
            return documentation
    return ""
