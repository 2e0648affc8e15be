"""What of a record that was read from a pickle can do something: nothing may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trickster_engine.interop.pickle_machine import Named


def named_objects(value: Any) -> Iterator[Named]:
    """Every class, function and object in a record that was not carried out, each once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Named):
            yield one
            waiting += [one.arguments, one.state]
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one
