"""What can be wrong with a config, as plain values: a command line prints them, an editor underlines them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning", "information", "hint"]


class Position(NamedTuple):
    """A place between two characters. Both numbers start at 0; characters are Unicode code points."""

    line: int
    character: int


class Range(NamedTuple):
    """The text from `start` up to, not including, `end`."""

    start: Position
    end: Position

    def contains(self, position: Position) -> bool:
        """Return whether a cursor at `position` touches this text (both ends count)."""
        return self.start <= position <= self.end


class Edit(NamedTuple):
    """Replace the text of `range` by `new_text`."""

    range: Range
    new_text: str


@dataclass(frozen=True)
class Fix:
    """One way to repair a problem. A preferred fix is safe to apply without thinking."""

    title: str
    edits: tuple[Edit, ...]
    preferred: bool = False


@dataclass(frozen=True)
class Related:
    """Another place in the file that has to do with a problem."""

    range: Range
    message: str


@dataclass(frozen=True)
class Problem:
    """Something to tell about a config: what, where, how bad, and what to do."""

    code: str  # described in docs/problems.md
    severity: Severity
    message: str
    range: Range
    fixes: tuple[Fix, ...] = ()
    related: tuple[Related, ...] = ()
    key: str | None = field(default=None)  # dotted, when the problem is about one key

    def as_lsp_json(self, text: str) -> dict[str, Any]:
        """Return code, severity, message and range with characters in UTF-16 code units, as editors count them.

        `text` is the whole text that was checked.
        """
        lines = re.split(r"\r\n|\n|\r", text)

        def utf_16(position: Position) -> dict[str, int]:
            before = lines[position.line][: position.character] if position.line < len(lines) else ""
            return {"line": position.line, "character": position.character + sum(char > "\uffff" for char in before)}

        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "range": {"start": utf_16(self.range.start), "end": utf_16(self.range.end)},
        }
