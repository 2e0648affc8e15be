"""Reading on where YAML cannot be read: section by section, without the lines that are to blame."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from trickster_engine.config.keys.names import KNOWN_NAMES
from trickster_engine.config.problems import Problem
from trickster_engine.config.yaml.errors import SyntaxTrouble, missing_colon, usual_indent
from trickster_engine.config.yaml.nodes import Node, Scalar

MOST_TROUBLES: Final = 20
_MOST_ROUNDS: Final = 12
_MOST_PIECES: Final = 500

_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*")


class Reader(Protocol):
    """What reads a piece of the text."""

    def read(self, text: str, first_line: int, shifts: dict[int, int]) -> Node | None:
        """Return the tree of `text`, which starts at `first_line` of the whole."""


@dataclass
class Piece:
    """The lines of one top-level section."""

    name: str | None
    first_line: int
    lines: list[str]  # each with its line end


class Budget:
    """Keeps the reading in pieces of a hopeless text from taking long."""

    def __init__(self, length: int):
        self.characters = 4 * length + 20_000
        self.troubles = MOST_TROUBLES

    def spend(self, characters: int) -> bool:
        """Take the cost of one more reading; False when there is nothing left for it."""
        self.characters -= characters
        return self.characters >= 0 and self.troubles > 0


def pieces(text: str) -> Iterator[Piece]:
    """Split a text where a line starts at the margin."""
    current = Piece(None, 0, [])
    count = 0
    has_content = False
    for number, match in enumerate(_LINE.finditer(text)):
        line = match.group()
        if line.startswith("---") and has_content:
            break  # what follows a second document start is not part of the config
        begins = line[:1] and line[0] not in " \t#\r\n-]}%" and not line.startswith("...")
        if begins and not (current.name and _is_words(line)):
            if current.lines:
                yield current
                count += 1
                if count == _MOST_PIECES:
                    return
            name = _NAME.match(line)
            current = Piece(name.group() if name else None, number, [])
            has_content = True
        if line.startswith(("---", "%", "...")):
            line = line[len(line.rstrip("\r\n")) :]
        current.lines.append(line)
    if current.lines:
        yield current


def _is_words(line: str) -> bool:
    """Return whether a line at the margin is probably the second one of a text, and not the start of a section."""
    name = _NAME.match(line)
    return ":" not in line and name is not None and name.group() not in KNOWN_NAMES


def read_piece(reader: Reader, piece: Piece, budget: Budget) -> tuple[Node | None, list[Problem]]:
    """Read one section, leaving out lines until the rest can be read. Return its tree and what was wrong."""
    lines = list(piece.lines)
    shifts: dict[int, int] = {}
    troubles: list[Problem] = []

    def note(problem: Problem) -> None:
        if all(problem.range.start.line != noted.range.start.line for noted in troubles):
            troubles.append(problem)
            budget.troubles -= 1

    if not budget.spend(sum(map(len, lines))):
        return None, []
    node, trouble = _attempt(reader, lines, piece.first_line, shifts)
    for _ in range(_MOST_ROUNDS):
        if trouble is None:
            break
        note(trouble.problem)
        best = None
        for number in trouble.lines:
            index = number - piece.first_line
            if not 0 <= index < len(lines) or trouble.hopeless or not budget.spend(sum(map(len, lines))):
                continue
            tried, tried_shifts = list(lines), dict(shifts)
            _take_out(tried, index, piece, tried_shifts, trouble.problem)
            if tried == lines:
                continue
            tried_node, next_trouble = _attempt(reader, tried, piece.first_line, tried_shifts)
            if best is None or next_trouble is None or _further(next_trouble, best[3]):
                best = (tried, tried_shifts, tried_node, next_trouble)
            if next_trouble is None:
                break
        if best is None:
            return None, troubles
        lines, shifts, node, trouble = best
    if trouble is not None:
        return None, troubles
    if isinstance(node, Scalar) and node.text:
        note(missing_colon(node.range, "".join(piece.lines[:1])))
    return node, troubles


def _attempt(
    reader: Reader, lines: list[str], first_line: int, shifts: dict[int, int]
) -> tuple[Node | None, SyntaxTrouble | None]:
    try:
        return reader.read("".join(lines), first_line, shifts), None
    except SyntaxTrouble as trouble:
        return None, trouble


def _further(trouble: SyntaxTrouble, than: SyntaxTrouble | None) -> bool:
    return than is not None and trouble.problem.range.start > than.problem.range.start


def _take_out(lines: list[str], index: int, piece: Piece, shifts: dict[int, int], problem: Problem) -> None:
    """Make a line harmless: indent it with spaces if tabs were the trouble, else empty it."""
    line = lines[index]
    content = line.rstrip("\r\n")
    end = line[len(content) :]
    body = content.lstrip(" \t")
    if problem.code == "yaml-tab" and "\t" in content[: len(content) - len(body)]:
        spaces = usual_indent(lines, index)
        shifts[piece.first_line + index] = len(spaces) - (len(content) - len(body))
        lines[index] = spaces + body + end
    elif index == 0 and piece.name:
        lines[index] = piece.name + ":" + end  # keep the section, or its keys would seem to be sections
    else:
        lines[index] = end
