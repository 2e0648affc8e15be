"""Loads the protocol's types faster: half of what it takes to start is spent on methods that nobody calls.

`lsprotocol.types` defines some 600 classes with attrs, which writes and compiles code for each: how to make one, how to
compare two, how to print one. Only the first is needed to serve a client. Classes that define their own comparison keep
it. Tests and tools that import the types in the ordinary way get them whole.
"""

from __future__ import annotations

import sys
from functools import partial

import attrs


def load_protocol_types() -> None:
    """Import `lsprotocol.types`, without comparison and printing, unless it has been imported already."""
    if "lsprotocol.types" in sys.modules:
        return
    define = attrs.define
    attrs.define = partial(define, eq=False, repr=False)
    try:
        import lsprotocol.types  # noqa: F401
    finally:
        attrs.define = define
