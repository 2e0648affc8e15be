"""Whether a line of `events.jsonl` is an event: checked against the types of `trickster_engine/runs/event_types.py`."""

from __future__ import annotations

import json
import re
import sys
import types
import typing
import zlib
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from trickster_engine.runs.event_types import AtMost, Between, Event

_Check = Callable[[Any], bool]


#: How a line ends: with a sum of all that stands before it, so that a digit that a disk has changed is seen. Lines of
#: before 0.2 have none.
SUM = rb',"sum":"[0-9a-f]{8}"'
_END = re.compile(SUM + rb"\}\s*\Z")


def event_line(event: Event) -> bytes:
    """The line that stands for an event, with its newline."""
    text = json.dumps(fit(event), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    begin = text[:-1].encode("utf-8")
    return b'%s,"sum":"%08x"}\n' % (begin, zlib.crc32(begin))


def parse_event(line: bytes) -> Event | None:
    """The event in one line; None for a kind that only a later version knows.

    Fields that only a later version knows are left out, and one that may be None may be missing. Raises ValueError
    where the line is no event, or not the one that was written.
    """
    end = _END.search(line, max(0, len(line) - 32))
    if end and zlib.crc32(line[: end.start()]) != int(end[0][8:16], 16):
        raise ValueError("not what was written")
    try:
        value = json.loads(line.decode("utf-8"))
    except RecursionError as error:  # thousands of brackets in one line
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    kind = value.get("kind")
    checks = _CHECKS.get(kind) if isinstance(kind, str) else None
    if checks is None:
        if isinstance(kind, str) and _is_moment(value.get("t")):
            return None
        raise ValueError("no kind or no time")
    event: dict[str, Any] = {}
    for name, check in checks:
        given = value.get(name)
        if not check(given):
            raise ValueError(f"{name} of a {kind} event")
        event[name] = given
    return cast(Event, event)


def fit(event: Event) -> Event:
    """The event with its texts cut where they are longer than what is read back, and without half characters."""
    fitted: dict[str, Any] = {**event}
    for name, most in _TEXTS[event["kind"]]:
        if isinstance(text := fitted[name], str):
            fitted[name] = text[:most].encode("utf-8", "replace").decode("utf-8")
    return cast(Event, fitted)


# ---- from types to checks --------------------------------------------------------------------------------------------


def _check_of(annotation: Any) -> _Check:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1:])
    if origin is dict:
        name, entry = map(_check_of, arguments)
        return lambda value: (
            isinstance(value, dict) and bool(value) and all(name(key) and entry(one) for key, one in value.items())
        )
    if origin is Literal:
        allowed = frozenset(arguments)
        return lambda value: isinstance(value, str) and value in allowed
    if origin in (Union, types.UnionType):
        (check,) = [_check_of(argument) for argument in arguments if argument is not type(None)]
        return lambda value: value is None or check(value)
    return _bounded(annotation, ())


def _bounded(kind: Any, bounds: tuple[object, ...]) -> _Check:
    low, high, most = -sys.float_info.max, sys.float_info.max, sys.maxsize
    for bound in bounds:
        if isinstance(bound, Between):
            low, high = bound
        elif isinstance(bound, AtMost):
            most = bound.characters
    if kind is float:
        # True is an int to isinstance; and neither NaN nor an infinity lies between two numbers.
        return lambda value: type(value) in (float, int) and low <= value <= high
    if kind is int:
        return lambda value: type(value) is int and low <= value <= high
    if kind is bool:
        return lambda value: type(value) is bool
    if kind is str:
        return lambda value: type(value) is str and len(value) <= most and _is_whole(value)
    raise TypeError(f"No check is known for {kind!r}")


def _is_whole(text: str) -> bool:
    """Whether a text has no half characters, which JSON can spell and no file can hold."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _hints() -> list[dict[str, Any]]:
    return [typing.get_type_hints(kind, include_extras=True) for kind in get_args(Event)]


def _texts(hints: dict[str, Any]) -> list[tuple[str, int]]:
    """The fields that hold text, and how much."""
    found = []
    for name, hint in hints.items():
        for part in (hint, *get_args(hint)):
            if get_origin(part) is Annotated and get_args(part)[0] is str:
                found.append((name, next(bound.characters for bound in get_args(part) if isinstance(bound, AtMost))))
    return found


#: By kind of event, its fields and their types.
KINDS = {get_args(hints["kind"])[0]: hints for hints in _hints()}
_CHECKS = {kind: [(name, _check_of(hint)) for name, hint in hints.items()] for kind, hints in KINDS.items()}
_TEXTS = {kind: _texts(hints) for kind, hints in KINDS.items()}
_is_moment = dict(_CHECKS["status"])["t"]
