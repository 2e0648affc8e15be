"""From text to a tree with positions, however broken the text is. Nothing in this module raises on any text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import yaml

from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range
from trickster_engine.config.yaml import errors, recovery
from trickster_engine.config.yaml.composer import Composer
from trickster_engine.config.yaml.document import Document
from trickster_engine.config.yaml.nodes import Entry, Mapping, Node
from trickster_engine.config.yaml.slips import Slips, lines_within_texts, may_hide_slips
from trickster_engine.config.yaml.text import Lines

LONGEST_TEXT: Final = 200_000
_MOST_CHARACTER_PROBLEMS: Final = 20

# What YAML does not allow in a file, and U+FEFF, which it allows only as the first character.
_BAD_CHARACTER: Final = re.compile(
    "[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
)
# PyYAML still ends lines at these, as YAML 1.1 did; no editor does. They are swapped for characters that the text does
# not contain, and swapped back in values.
_OLD_LINE_ENDS: Final = "\x85\u2028\u2029"


def parse(text: str) -> Document:
    """Parse a text. Never raises; what is wrong with it is in the document's `problems`."""
    lines = Lines(text)
    if len(text) > LONGEST_TEXT:
        start = Range(Position(0, 0), Position(0, len(lines.line(0)[:80])))
        message = f"This file has {len(text):,} characters. A config has a few thousand at most, so it was not read."
        return Document(lines, None, [Problem("yaml-too-large", "error", message, start)], complete=False)
    return _Parser(lines).parse()


class _Parser:
    """Parses one text: whole if that works, else section by section."""

    def __init__(self, lines: Lines):
        self.lines = lines
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}
        text = lines.text
        self.has_mark = text.startswith("\ufeff")
        self.swapped_back: dict[int, str] = {}
        if _BAD_CHARACTER.search(text, 1 if self.has_mark else 0):
            text = self._without_bad_characters(text)
        if any(character in text for character in _OLD_LINE_ENDS):
            text = self._without_old_line_ends(text)
        text = text[1:] if self.has_mark else text
        # YAML makes one line end of all anyway.
        self.text = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
        self.slips: Slips | None = None
        self.read_lines = lines

    def _without_bad_characters(self, text: str) -> str:
        for number, match in enumerate(_BAD_CHARACTER.finditer(text, 1 if self.has_mark else 0)):
            if number == _MOST_CHARACTER_PROBLEMS:
                break
            start = self.lines.position(match.start())
            where = Range(start, Position(start.line, start.character + 1))
            message = f"The character {_character_name(match.group())} is not allowed in YAML. Remove it."
            fix = Fix("Remove this character", (Edit(where, ""),), preferred=True)
            self.problems.append(Problem("yaml-character", "error", message, where, (fix,)))
        head = 1 if self.has_mark else 0
        return text[:head] + _BAD_CHARACTER.sub(" ", text[head:])

    def _without_old_line_ends(self, text: str) -> str:
        unused = (code for code in range(0xE000, 0xF8FF) if chr(code) not in text)
        table = {}
        for character in _OLD_LINE_ENDS:
            stand_in = next(unused, None)
            if stand_in is None:  # a text with every private character: let values differ, lines must not
                stand_in = ord(" ")
            else:
                self.swapped_back[stand_in] = character
            table[ord(character)] = stand_in
        return text.translate(table)

    def parse(self) -> Document:
        """Return the document."""
        before = list(self.problems)
        root, trouble = self._attempt()
        if trouble is not None or may_hide_slips(self.text, root):
            slips = Slips((("\ufeff" if self.has_mark else "") + self.text).split("\n"), lines_within_texts(root))
            if slips:
                self.slips = slips
                self.problems, self.anchors = [*before, *slips.problems], {}
                self.text = slips.text().removeprefix("\ufeff")
                self.read_lines = Lines(slips.text())
                root, trouble = self._attempt()
        if trouble is None:
            return Document(self.lines, root, self.problems, complete=self.slips is None)
        if trouble.hopeless:
            self.problems.append(trouble.problem)
            return Document(self.lines, None, self.problems, complete=False)
        return self._parse_in_pieces(trouble.problem)

    def _attempt(self) -> tuple[Node | None, errors.SyntaxTrouble | None]:
        try:
            return self._compose(self.text), None
        except errors.SyntaxTrouble as trouble:
            return None, trouble

    def written(self, position: Position) -> Position:
        """Return where in the file that stands which is read at `position`."""
        return self.slips.written(position) if self.slips is not None else position

    def _written_problem(self, problem: Problem) -> Problem:
        if self.slips is None:
            return problem

        def moved(where: Range) -> Range:
            return Range(self.written(where.start), self.written(where.end))

        fixes = tuple(
            replace(fix, edits=tuple(Edit(moved(edit.range), edit.new_text) for edit in fix.edits))
            for fix in problem.fixes
        )
        return replace(problem, range=moved(problem.range), fixes=fixes)

    def _parse_in_pieces(self, trouble: Problem) -> Document:
        """Read each top-level section by itself, leaving out the lines that cannot be read.

        `trouble` is why the whole cannot be read. It is reported where every piece can be: then it lies between them.
        """
        found_before = list(self.problems)
        kept: list[Problem] = []
        entries: list[Entry] = []
        merges: list[Mapping] = []
        damaged: set[str] = set()
        budget = recovery.Budget(len(self.text))
        for piece in recovery.pieces(self.text):
            self.problems = []
            self.anchors = {name: node for name, node in self.anchors.items() if node is not None}
            root, troubles = recovery.read_piece(self, piece, budget)
            kept.extend(troubles)
            kept.extend(self.problems)
            if troubles and piece.name:
                damaged.add(piece.name)
            if isinstance(root, Mapping):
                entries.extend(root.entries)
                merges.extend(root.merges)
        if all(problem.severity != "error" for problem in kept):
            kept.append(trouble)
        end = self.lines.position(len(self.lines.text))
        whole = Mapping(Range(Position(0, 0), end), flow=False, entries=entries, merges=merges)
        return Document(self.lines, whole, [*found_before, *kept], complete=False, damaged=frozenset(damaged))

    # recovery.Reader, for reading in pieces

    def read(self, text: str, first_line: int, shifts: dict[int, int]) -> Node | None:
        """Compose `text`, which stands at `first_line` of the whole; `shifts` are the columns its lines were moved."""
        self.problems = []
        return self._compose(text, first_line, shifts)

    def _compose(self, text: str, first_line: int = 0, shifts: dict[int, int] | None = None) -> Node | None:
        """Return the tree of the first document in `text`.

        Raises:
            SyntaxTrouble: where the YAML ends to be readable.

        """
        composer = Composer(self, first_line, shifts or {})
        try:
            return composer.compose(text)
        except yaml.MarkedYAMLError as error:
            trouble = errors.trouble_from(error, self.read_lines, composer.read_position)
            trouble.problem = self._written_problem(trouble.problem)
            raise trouble from None
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            # Not a place but a limit of the reader: an escape beyond Unicode, for example.
            raise errors.trouble_at(composer.last, self.lines, str(error)) from None


def _character_name(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        return f"U+{code:04X} (half of a surrogate pair)"
    names = {
        0: "NUL",
        0x0B: "vertical tab",
        0x0C: "form feed",
        0x1B: "escape",
        0x7F: "delete",
        0xFEFF: "byte order mark",
    }
    return f"U+{code:04X} ({names[code]})" if code in names else f"U+{code:04X}"
