"""Columns: the engine counts code points, a client counts UTF-16 units unless it has agreed to something else."""

from __future__ import annotations

from lsprotocol import types

from trickster_engine.config.problems import Position, Range
from trickster_engine.config.text import Lines

Encoding = types.PositionEncodingKind | str


class Columns:
    """Translates positions of one text between code points and the client's units.

    A line of plain ASCII, which is nearly every line of a config, needs no translation in any encoding.
    """

    def __init__(self, lines: Lines, encoding: Encoding) -> None:
        self.lines = lines
        self._encoding = encoding

    def to_client(self, position: Position) -> types.Position:
        """A position as the client counts it."""
        line = self.lines.line(position.line)
        character = position.character
        if self._encoding != types.PositionEncodingKind.Utf32 and not line.isascii():
            character = _units(line[:character], self._encoding) + max(0, character - len(line))
        return types.Position(max(position.line, 0), max(character, 0))

    def range_to_client(self, span: Range) -> types.Range:
        """A range as the client counts it."""
        return types.Range(self.to_client(span.start), self.to_client(span.end))

    def from_client(self, position: types.Position) -> Position:
        """A position in code points. What lies beyond the text is its nearest place."""
        last = len(self.lines) - 1
        if position.line > last:
            return Position(last, len(self.lines.line(last)))
        line = self.lines.line(position.line)
        if self._encoding == types.PositionEncodingKind.Utf32 or line.isascii():
            return Position(position.line, min(position.character, len(line)))
        left = position.character
        for index, symbol in enumerate(line):
            width = _units(symbol, self._encoding)
            if left < width:  # in front of this character, or between its two halves
                return Position(position.line, index)
            left -= width
        return Position(position.line, len(line))

    def range_from_client(self, span: types.Range) -> Range:
        """A range in code points, its start never behind its end."""
        start, end = self.from_client(span.start), self.from_client(span.end)
        return Range(min(start, end), max(start, end))


def _units(text: str, encoding: Encoding) -> int:
    if encoding == types.PositionEncodingKind.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text) + sum(symbol > "\uffff" for symbol in text)
