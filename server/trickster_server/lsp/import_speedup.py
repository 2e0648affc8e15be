"""Loads the protocol's types faster: half of what it takes to start is spent on methods that nobody calls.

`lsprotocol.types` defines some 600 classes with attrs, which writes and compiles code for each: how to make one, how to
compare two, how to print one. Only the first is needed to serve a client. Classes that define their own comparison keep
it. Tests and tools that import the types in the ordinary way get them whole.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import attrs


def load_protocol_types() -> None:
    """Import `lsprotocol.types`, without comparison and printing, unless it has been imported already."""
    if "lsprotocol.types" in sys.modules:
        return
    define = attrs.define

    def define_briefly(cls: type[Any] | None = None, **options: Any) -> Any:
        options = {"eq": False, "repr": False, **options}
        if cls is None:
            later: Callable[[type[Any]], type[Any]] = define(**options)
            return later
        return define(cls, **options)

    attrs.define = define_briefly  # type: ignore[assignment]
    try:
        import lsprotocol.types  # noqa: F401
    finally:
        attrs.define = define
