"""What a client says when it starts the server."""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from dataclasses import dataclass

from trickster_server.lsp.messages.fields import entries, item


@dataclass(frozen=True)
class InitializationOptions:
    """`initializationOptions` of `initialize`; every field may be left out."""

    trusted: bool = item(
        "true: the person trusts the folder. Left out, false or anything else: the server checks and explains files, "
        "and starts no process, writes no file and removes none.",
        False,
    )
    python: str | None = item(
        "The interpreter that trains; it may differ from the server's. Left out: the server's own.", None
    )
    client_commands: bool = item(
        "true: code lenses name the client's commands (`trickster.train`), not the server's, and Train, Stop and the "
        "like are not offered among the code actions.",
        False,
    )
    notifications: bool = item(
        "true: `trickster/event` and `trickster/runsChanged` are sent. The experimental capability "
        '`{"trickster": {"notifications": true}}` says the same. Left out: they are not, and no editor warns of them.',
        False,
    )
    images: bool = item(
        "true: Markdown may hold images as `data:` addresses; hovers then draw the learning rate.", False
    )
    calibrate: bool = item(
        "true: this machine may be calibrated, once, in the background and for some seconds, when a config is open and "
        "nothing trains. Estimates then know how long any config takes here.",
        False,
    )
    completion_model: str | None = item(
        "The model that answers `textDocument/inlineCompletion`: a run's name, path or URI, or a checkpoint's folder. "
        "Left out: none does, until the command `trickster.server.completeWith` names one.",
        None,
    )
    completion_files: list[str] | None = item(
        "Where it completes: languages as the client names them, globs of file names, or, with a slash, globs of whole "
        "paths. Left out: `plaintext`, `text` and `markdown`.",
        None,
    )
    following: dict[str, int] = entries(
        "For each run the client knows: the `next` it has seen last. The server goes on from there, so that after a "
        "restart no event is lost or doubled."
    )
    debounce_ms: int = item("How long after the last keystroke a file is checked, in milliseconds.", 100)
