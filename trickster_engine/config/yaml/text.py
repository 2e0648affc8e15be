"""Lines, positions and edits of a text, counted as an editor counts them: LF, CRLF and CR end a line, nothing else."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property

from trickster_engine.config.problems import Edit, Position, Range

_LINE_END = re.compile(r"\r\n|\n|\r")


class Lines:
    """Turns positions into offsets of one text and back."""

    def __init__(self, text: str):
        self.text = text

    @cached_property
    def _bounds(self) -> tuple[list[int], list[int]]:
        """Where each line starts, and where its content ends (before the line end)."""
        starts, ends = [0], []
        for match in _LINE_END.finditer(self.text):
            ends.append(match.start())
            starts.append(match.end())
        ends.append(len(self.text))
        return starts, ends

    def __len__(self) -> int:
        return len(self._bounds[0])

    def line(self, number: int) -> str:
        """Return the content of a line, without its end; empty when there is no such line."""
        starts, ends = self._bounds
        return self.text[starts[number] : ends[number]] if 0 <= number < len(starts) else ""

    def line_with_end(self, number: int) -> str:
        """Return a line with what ends it."""
        starts, _ = self._bounds
        end = starts[number + 1] if number + 1 < len(starts) else len(self.text)
        return self.text[starts[number] : end]

    def offset(self, position: Position) -> int:
        """Return the offset of a position; one outside the text is moved to the nearest place inside."""
        starts, ends = self._bounds
        if position.line < 0:
            return 0
        if position.line >= len(starts):
            return len(self.text)
        return min(starts[position.line] + max(position.character, 0), ends[position.line])

    def position(self, offset: int) -> Position:
        """Return the position of an offset."""
        starts, _ = self._bounds
        line = bisect_right(starts, offset) - 1
        return Position(line, offset - starts[line])

    def slice(self, range_: Range) -> str:
        """Return the text of a range."""
        return self.text[self.offset(range_.start) : self.offset(range_.end)]

    def whole_lines(self, range_: Range) -> Range | None:
        """Return the range widened to the lines it fills, line end included.

        None when other text than blanks and a comment shares those lines.
        """
        first, last = range_.start.line, range_.end.line
        before = self.line(first)[: range_.start.character]
        after = self.line(last)[range_.end.character :].strip()
        if before.strip() or (after and not after.startswith("#")):
            return None
        if last + 1 < len(self):
            return Range(Position(first, 0), Position(last + 1, 0))
        return Range(Position(first, 0), Position(last, len(self.line(last))))

    @cached_property
    def line_end(self) -> str:
        """How lines end in this text: as its first line does."""
        match = _LINE_END.search(self.text)
        return match.group() if match else "\n"


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Return `text` with all edits made. They must not overlap; positions are those of `text`."""
    lines = Lines(text)
    ordered = sorted(edits, key=lambda edit: edit.range, reverse=True)
    for edit in ordered:
        start, end = lines.offset(edit.range.start), lines.offset(edit.range.end)
        text = text[:start] + edit.new_text + text[end:]
    return text
