"""The page `docs/protocol.md`, written from `lsp/messages` so that the two cannot disagree."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any

from trickster_server.lsp import messages
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.lsp.messages.fields import wire_name
from trickster_server.lsp.messages.options import InitializationOptions

_INTRODUCTION = """\
# Messages between client and server

<!-- Written by `make generate` from server/trickster_server/lsp/messages/. Do not edit: change the Python. -->

The language server is started as `trickster-server` and speaks the Language Server Protocol over standard
input and output. It uses the protocol's own messages where they exist: diagnostics (pushed and pulled), hover,
completion, code actions, code lenses, inlay hints, document symbols, `workspace/executeCommand`, `$/progress` with
cancel. So a config gets the same help in Neovim, Helix and Emacs as in VS Code. This page lists the other messages.

Field names are camelCase. An event of a run is the one exception: it is sent exactly as in `events.jsonl`,
and `trickster_engine/runs/event_types.py` says what the kinds are. Times are in seconds, losses in nats/token, offsets
in bytes.

## Following a run without lost or duplicate events

The file `events.jsonl` of a run only grows, and a position in it is a byte offset. Every `trickster/event` carries
the position before its events (`after`) and after them (`next`); the `after` of one is the `next` of the one before.

- A client that opens a chart asks `trickster/runEvents` with `after: 0` and remembers `next`.
- A notification whose `after` is what the client remembers is appended, and its `next` remembered.
- One whose `next` is not beyond what the client remembers contains nothing new and is dropped.
- Any other means that events are missing: ask `trickster/runEvents` from the remembered position.
- After a restart of the server, the client gives its positions in `initializationOptions.following`, and the server
  continues from there. For a live run that is not listed, only later events are sent.

## Other editors

Each request that has a command is also reachable through `workspace/executeCommand`; its one argument is the params
object of the request. A string in its place is read as the object's first field, so that
`:lua vim.lsp.buf.execute_command({command = "trickster.server.train", arguments = {vim.uri_from_bufnr(0)}})` trains the
file in the window. Code lenses use these commands, unless the client sets `clientCommands`.
Started through a command, a long action reports `$/progress` and can be cancelled there, and its result comes as
`window/showMessage`.

## Trust

A folder may contain anybody's files. Until the client says `initializationOptions.trusted: true` or sends
`trickster/trustGranted`, the server starts no process, writes no file and deletes none: such requests are answered with
the error `NOT_TRUSTED`. Checks, hovers and lists work meanwhile. An option of the wrong type counts as omitted, and
a message names it; the others still apply.

"""


def page(type_name: Callable[[Any], str]) -> str:
    """The whole page; `type_name` turns an annotation into the form shown in tables."""
    blocks = [
        _INTRODUCTION + _trust_table(),
        "## Initialization options\n",
        _message(InitializationOptions, type_name),
    ]
    blocks.append("## Requests of the client\n")
    for request in messages.REQUESTS:
        blocks.append(f"### `{request.method}`\n")
        facts = []
        if request.command:
            facts.append(f"Command: `{request.command}`.")
        if request.does != "only reads":
            facts.append(f"{request.does.capitalize()}: wants trust.")
        if facts:
            blocks.append(" ".join(facts) + "\n")
        blocks.append(_message(request.params, type_name))
        if request.partial:
            blocks.append(f"**Streamed: `{request.partial.__name__}`.** " + _message(request.partial, type_name))
        blocks.append(f"**Answer: `{request.result.__name__}`.** " + _message(request.result, type_name))
    for sender in ("server", "client"):
        blocks.append(f"## Notifications of the {sender}\n")
        for notification in messages.NOTIFICATIONS:
            if notification.sender == sender:
                blocks.append(f"### `{notification.method}`\n")
                blocks.append(_message(notification.params, type_name))
    roots = {InitializationOptions}
    for one in messages.REQUESTS:
        roots |= {one.params, one.result} | ({one.partial} if one.partial else set())
    roots |= {notification.params for notification in messages.NOTIFICATIONS}
    blocks.append("## Parts of messages\n")
    for message in messages.message_types():
        if message not in roots:
            blocks.append(f"### `{message.__name__}`\n")
            blocks.append(_message(message, type_name))
    blocks.append("## Errors\n")
    blocks.append("Beside the codes of the protocol itself, a request may be answered with:\n")
    rows = [f"| `{code.name}` | {code.value} | {code.meaning} |" for code in ErrorCode]
    blocks.append("\n".join(["| name | code | meaning |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(blocks)


def _trust_table() -> str:
    rows = ["| request | does | in a folder that is not trusted |", "|:--|:--|:--|"]
    for request in messages.REQUESTS:
        answer = "answered" if request.does == "only reads" else "refused"
        rows.append(f"| `{request.method}` | {request.does} | {answer} |")
    return "\n".join(rows) + "\n"


def _message(message: type[Any], type_name: Callable[[Any], str]) -> str:
    """A message's description and the table of its fields."""
    paragraphs = [" ".join(part.split()) for part in (message.__doc__ or "").split("\n\n")]
    text = "\n\n".join(paragraphs) + "\n"
    parts = dataclasses.fields(message)
    if not parts:
        return text
    hints = typing.get_type_hints(message, include_extras=True)
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for part in parts:
        kind = type_name(hints[part.name]).replace("|", "\\|")
        rows.append(f"| `{wire_name(part.name)}` | `{kind}`{_default(part)} | {part.metadata['doc']} |")
    return text + "\n" + "\n".join(rows) + "\n"


def _default(part: dataclasses.Field[Any]) -> str:
    if part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING:
        return ""
    if part.default is dataclasses.MISSING or part.default is None:
        return ", optional"
    value = str(part.default).lower() if isinstance(part.default, bool) else part.default
    return (
        f", optional ({value!r})"
        if isinstance(value, str) and not isinstance(part.default, bool)
        else f", optional ({value})"
    )
