"""Columns: the engine counts code points, a client counts UTF-16 units unless it has agreed to something else."""

from __future__ import annotations

import re

from lsprotocol import types

from trickster_engine.config.problems import Position, Range
from trickster_engine.config.yaml.text import Lines

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
Encoding = types.PositionEncodingKind | str


class Columns:
    """Translates positions of one text between code points and the client's units.

    A line of plain ASCII, which is nearly every line of a config, needs no translation in any encoding.
    """

    def __init__(self, lines: Lines, encoding: Encoding) -> None:
        self.lines = lines
        self._encoding = encoding

    def to_client(self, position: Position) -> types.Position:
        """A position as the client counts it. One outside the text is moved to its nearest place."""
        number = position.line
        if number >= len(self.lines):
            number, character = len(self.lines) - 1, len(self.lines.line(len(self.lines) - 1))
        else:
            character = max(0, min(position.character, len(self.lines.line(number))))
        line = self.lines.line(number)
        if self._encoding != types.PositionEncodingKind.Utf32 and not line.isascii():
            character = _units(line[:character], self._encoding)
        return types.Position(max(number, 0), character)

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


def changed(text: str, lines: Lines, span: types.Range, new_text: str, encoding: Encoding) -> str:
    """The text after an edit of the client.

    A client that counts in UTF-16 may cut a character beyond U+FFFF in two, or put two halves together. Such halves are
    kept apart while the edit is made and joined afterwards, as they are in the client.
    """
    columns = Columns(lines, encoding)
    start, end = columns.from_client(span.start), columns.from_client(span.end)
    if end < start:
        start, end = end, start
        span = types.Range(span.end, span.start)
    head, tail = lines.offset(start), lines.offset(end)
    first, last = lines.line(start.line), lines.line(end.line)
    if encoding != types.PositionEncodingKind.Utf16 or (first.isascii() and last.isascii() and new_text.isascii()):
        return text[:head] + new_text + text[tail:]
    before = _halves(first)[: span.start.character] if span.start.line == start.line else first
    after = _halves(last)[span.end.character :] if span.end.line == end.line else ""
    whole = text[: head - start.character] + before + new_text + after + text[tail - end.character + len(last) :]
    return _joined(whole)


def _halves(text: str) -> str:
    """A text in which each character beyond U+FFFF is two, the halves of its surrogate pair."""
    if text.isascii():
        return text
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(data[index] | data[index + 1] << 8) for index in range(0, len(data), 2))


def _joined(text: str) -> str:
    """A text in which the halves of surrogate pairs are joined where they meet."""
    if _PAIR.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _units(text: str, encoding: Encoding) -> int:
    if encoding == types.PositionEncodingKind.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text) + sum(symbol > "\uffff" for symbol in text)
