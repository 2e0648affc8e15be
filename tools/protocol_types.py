"""Writes what others read of `lsp/messages`: the extension's TypeScript types and the page `docs/protocol.md`.

`python -m tools.protocol_types` writes these files of a checkout; `--check` only says whether they are current.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from trickster_server.lsp import messages
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.lsp.messages.fields import EstimateSource, RunState, TypeScriptName, wire_name
from trickster_server.lsp.messages.notifications import EventParams

import trickster_engine.runs.event_types as engine_events
from tools import machine_docs
from tools.protocol_page import page

REPOSITORY = Path(__file__).resolve().parents[1]
TYPESCRIPT_PATH = REPOSITORY / "extension" / "src" / "protocol.ts"
PAGE_PATH = REPOSITORY / "docs" / "protocol.md"
MACHINE_PATH = REPOSITORY / "docs" / "machine.md"

_PLAIN: dict[Any, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    Any: "unknown",
}
_NAMED_LITERALS: dict[Any, str] = {
    RunState: "RunState",
    EstimateSource: "EstimateSource",
    engine_events.Status: "RunStatus",
}

_WIDTH = 110
"""Longest line of the extension's sources."""

_HEADER = """\
// Written by `make generate` from server/trickster_server/lsp/messages/ and trickster_engine/runs/event_types.py.
// Do not edit: change the Python and run it again. A test fails when this file is stale.
"""


def type_name(annotation: Any) -> str:
    """The TypeScript form of a Python annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        for extra in arguments[1:]:
            if isinstance(extra, TypeScriptName):
                return extra.name
        return type_name(arguments[0])
    if annotation in _NAMED_LITERALS:
        return _NAMED_LITERALS[annotation]
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Literal:
        return " | ".join(_literal(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(type_name(argument) for argument in arguments)
    if origin is list:
        inner = type_name(arguments[0])
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if origin is dict:
        return f"Record<string, {type_name(arguments[1])}>"
    if isinstance(annotation, type):
        return annotation.__name__
    raise TypeError(f"No TypeScript form is known for {annotation!r}")


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else str(value)


def is_request_side(message: type[Any]) -> bool:
    """Whether a client writes this message, so that fields with a default may be left out."""
    return message.__name__.endswith(("Params", "Options")) and message is not EventParams


def _union(name: str, members: list[str]) -> str:
    """A type of several, in lines as the extension's formatter breaks them."""
    joined = " | ".join(members)
    for text in (f"export type {name} = {joined};\n", f"export type {name} =\n  {joined};\n"):
        if max(map(len, text.splitlines())) <= _WIDTH:
            return text
    return f"export type {name} =\n" + "".join(f"  | {member}\n" for member in members)[:-1] + ";\n"


def _comment(text: str | None, indent: str = "") -> str:
    words = " ".join((text or "").split())
    return f"{indent}/** {words} */\n"


def interface(message: type[Any]) -> str:
    """The TypeScript interface of one message."""
    hints = typing.get_type_hints(message, include_extras=True)
    if not dataclasses.fields(message):
        return f"{_comment(message.__doc__)}export interface {message.__name__} {{}}\n"
    lines = [_comment(message.__doc__), f"export interface {message.__name__} {{\n"]
    for part in dataclasses.fields(message):
        has_default = part.default is not dataclasses.MISSING or part.default_factory is not dataclasses.MISSING
        mark = "?" if has_default and is_request_side(message) else ""
        lines.append(_comment(part.metadata["doc"], "  "))
        lines.append(f"  {wire_name(part.name)}{mark}: {type_name(hints[part.name])};\n")
    lines.append("}\n")
    return "".join(lines)


def event_interface(event: type[Any]) -> str:
    """The TypeScript interface of one kind of event; the names are those of the file."""
    hints = typing.get_type_hints(event, include_extras=True)
    lines = [_comment(event.__doc__), f"export interface {event.__name__} {{\n"]
    lines += [f"  {name}: {type_name(hint)};\n" for name, hint in hints.items()]
    lines.append("}\n")
    return "".join(lines)


def event_types() -> tuple[type[Any], ...]:
    """Every kind of event."""
    return get_args(engine_events.Event)


def typescript() -> str:
    """The whole of `protocol.ts`."""
    blocks = [_HEADER]
    blocks.append(
        _comment("What a run says of itself in a `status` event.")
        + _union("RunStatus", [_literal(value) for value in get_args(engine_events.Status)])
    )
    blocks += [event_interface(event) for event in event_types()]
    names = [event.__name__ for event in event_types()]
    blocks.append(_comment("One line of `events.jsonl`.") + _union("RunEvent", names))
    for name, literal in (("RunState", RunState), ("EstimateSource", EstimateSource)):
        blocks.append(_union(name, [_literal(value) for value in get_args(literal)]))
    blocks.append(
        _comment("A value in a config.")
        + "export type ConfigValue = string | number | boolean | null | ConfigValue[];\n"
    )
    blocks += [interface(message) for message in messages.message_types()]
    blocks.append(_requests())
    blocks.append(_notifications())
    blocks.append(_error_codes())
    return "\n".join(blocks)


def _requests() -> str:
    lines = [_comment("Requests of the client: what is asked and what is answered."), "export interface Requests {\n"]
    for request in messages.REQUESTS:
        partial = f" partial: {request.partial.__name__};" if request.partial else ""
        lines.append(
            f"  '{request.method}': {{ params: {request.params.__name__};{partial} "
            f"result: {request.result.__name__} }};\n"
        )
    lines.append("}\n")
    return "".join(lines)


def _notifications() -> str:
    blocks = []
    for sender, name in (("server", "ServerNotifications"), ("client", "ClientNotifications")):
        lines = [_comment(f"Messages of the {sender} that nobody answers."), f"export interface {name} {{\n"]
        lines += [
            f"  '{notification.method}': {notification.params.__name__};\n"
            for notification in messages.NOTIFICATIONS
            if notification.sender == sender
        ]
        lines.append("}\n")
        blocks.append("".join(lines))
    return "\n".join(blocks)


def _error_codes() -> str:
    lines = [_comment("Codes of the errors a request may be answered with."), "export const ErrorCode = {\n"]
    for name, code in error_codes():
        words = name.lower().split("_")
        lines.append(f"  {words[0] + ''.join(word.capitalize() for word in words[1:])}: {code},\n")
    lines.append("} as const;\n")
    return "".join(lines)


def error_codes() -> list[tuple[str, int]]:
    """The error codes by name."""
    return [(code.name, code.value) for code in ErrorCode]


def outputs() -> dict[Path, str]:
    """Every file that is written, with its content."""
    return {TYPESCRIPT_PATH: typescript(), PAGE_PATH: page(type_name), MACHINE_PATH: machine_docs.page()}


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` say which are stale (exit code 1)."""
    parser = argparse.ArgumentParser(prog="python -m tools.protocol_types", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    options = parser.parse_args(arguments)
    stale = [path for path, text in outputs().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if options.check:
            print(f"{path.relative_to(REPOSITORY)} is stale: run make generate", file=sys.stderr)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(outputs()[path], encoding="utf-8", newline="\n")
        print(f"wrote {path.relative_to(REPOSITORY)}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
