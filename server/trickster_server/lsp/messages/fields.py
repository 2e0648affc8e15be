"""What messages are made of: fields with a line of documentation, and the types that several of them use."""

from __future__ import annotations

from dataclasses import MISSING, field
from typing import Annotated, Any, Literal, NamedTuple

from trickster_engine.runs.state import Standing


class TypeScriptName(NamedTuple):
    """The name of the TypeScript type that stands for an annotated Python type."""

    name: str


Event = Annotated[dict[str, Any], TypeScriptName("RunEvent")]
"""One line of `events.jsonl`, as it stands there; `trickster_engine.runs.event_types` says what the kinds are."""

JsonValue = Annotated[Any, TypeScriptName("unknown")]
"""Any JSON value."""

ConfigValue = Annotated[Any, TypeScriptName("ConfigValue")]
"""A value in a config: text, a number, true or false, null, or a list of those."""

ProgressToken = Annotated[int | str, TypeScriptName("string | number")]
"""A token of the protocol's own `$/progress`, chosen by the client."""

RunState = Standing
"""Where a run stands. The first five are live; `interrupted` means that the process is gone and did not say goodbye."""

EstimateSource = Literal["measured", "estimated"]
"""`measured`: taken from runs on this machine. `estimated`: computed, never seen."""


def item(doc: str, default: Any = MISSING) -> Any:
    """A field of a message, with one line that says what it is."""
    if default is MISSING:
        return field(metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


def items(doc: str) -> Any:
    """A field that holds a list, empty when left out."""
    return field(default_factory=list, metadata={"doc": doc})


def entries(doc: str) -> Any:
    """A field that holds an object, empty when left out."""
    return field(default_factory=dict, metadata={"doc": doc})


def wire_name(python_name: str) -> str:
    """The name of a field on the wire: `run_id` is `runId`."""
    head, *rest = python_name.split("_")
    return head + "".join(word.capitalize() for word in rest)
