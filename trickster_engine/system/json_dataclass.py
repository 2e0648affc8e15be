"""From JSON that anyone may have written to a dataclass of ours, and no further."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_stored(kind: type[T], value: object) -> T:
    """A dataclass from a JSON object. Keys that only a newer version knows are passed over.

    Raises ValueError where a field is missing that has no default, or holds something else than its type says.
    """
    if not isinstance(value, dict):
        raise ValueError("it contains no JSON object")
    hints = get_type_hints(kind)
    found: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in value:
            if not _fits(value[field.name], hints[field.name]):
                raise ValueError(f"its {field.name} has the wrong type")
            found[field.name] = value[field.name]
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"it has no {field.name}")
    return kind(**found)


def _fits(value: object, hint: Any) -> bool:
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
