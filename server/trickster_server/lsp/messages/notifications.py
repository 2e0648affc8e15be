"""Messages without an answer."""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from dataclasses import dataclass

from trickster_server.lsp.messages.fields import Event, item
from trickster_server.lsp.messages.runs import RunInfo, RunProgress


@dataclass(frozen=True)
class EventParams:
    """New events of a live run; at most ten of these a second a run.

    `after` of one is `next` of the one before it. A client that finds a gap asks `trickster/runEvents`; one that finds
    `next` no further than what it has drops the message.
    """

    run_id: str = item("The run.")
    after: int = item("Offset in `events.jsonl` before the first of these events, in bytes.")
    next: int = item("Offset after the last of them.")
    events: list[Event] = item("The events, as in the file.")
    run: RunProgress = item("What the run has come to, possibly further than `next`.")


@dataclass(frozen=True)
class RunsChangedParams:
    """A run has appeared, changed its state, saved a checkpoint, or gone."""

    runs: list[RunInfo] = item("The whole list, newest first.")


@dataclass(frozen=True)
class TrustGrantedParams:
    """The person has decided to trust the folder: every request is answered from now on."""


@dataclass(frozen=True)
class InterpreterChangedParams:
    """The person has chosen another interpreter."""

    python: str | None = item("The interpreter that trains from now on; null: the server's own.")
