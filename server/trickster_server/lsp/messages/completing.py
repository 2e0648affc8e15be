"""Messages about the model that answers `textDocument/inlineCompletion`, for editors without a client of our own."""

# ruff: noqa: RUF009 - item() makes dataclass fields; it only adds the line of documentation.

from __future__ import annotations

from dataclasses import dataclass

from trickster_server.lsp.messages.fields import item


@dataclass(frozen=True)
class CompleteWithParams:
    """Choose the model that completes what is typed. It is loaded now, so that the first key is answered."""

    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    files: list[str] | None = item(
        "Languages or globs of the files it completes in; left out: `completionFiles` of the initialization options.",
        None,
    )


@dataclass(frozen=True)
class CompleteWithResult:
    """The model that completes from now on."""

    name: str = item("The run's or the folder's name.")
    files: list[str] = item("Languages or globs of the files it completes in.")
    checkpoint: str = item("The checkpoint used; a newer one of the same run is taken over by itself.")
    step: int | None = item("The step it was saved after.")


@dataclass(frozen=True)
class StopCompletingParams:
    """Let no model complete any more."""


@dataclass(frozen=True)
class StopCompletingResult:
    """What has been stopped."""

    name: str | None = item("The model that completed until now; null where none did.")
