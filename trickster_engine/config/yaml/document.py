"""From text to a tree with positions, however broken the text is.

PyYAML supplies the events (see `yaml_scanner`); the tree is composed here, because PyYAML's own composer loses where an
alias stands, cannot stop at a depth, and gives nothing at all for a file with one error.
Nothing in this module raises on any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import yaml

from trickster_engine.config.places import Place, place_at
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range, Related, Severity
from trickster_engine.config.yaml import errors, recovery, scanner
from trickster_engine.config.yaml.nodes import Entry, Mapping, Node, Scalar, Sequence
from trickster_engine.config.yaml.slips import Slips, lines_within_texts, may_hide_slips
from trickster_engine.config.yaml.text import Lines

__all__ = ["Document", "Entry", "Located", "Mapping", "Node", "Place", "Scalar", "Sequence", "parse"]

LONGEST_TEXT: Final = 200_000
DEEPEST_NESTING: Final = 50
_MOST_CHARACTER_PROBLEMS: Final = 20

# What YAML does not allow in a file, and U+FEFF, which it allows only as the first character.
_BAD_CHARACTER: Final = re.compile(
    "[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
)
_BAD_IN_VALUE: Final = re.compile("[\x00\ud800-\udfff]")
# PyYAML still ends lines at these, as YAML 1.1 did; no editor does. They are swapped for characters that the text does
# not contain, and swapped back in values.
_OLD_LINE_ENDS: Final = "\x85\u2028\u2029"
_BLOCK_SIGN: Final = re.compile(r"[|>][-+0-9]*")
_CORE_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))


@dataclass(frozen=True)
class Located:
    """What stands at a position: a section's name, a key, or a value."""

    section: str
    name: str | None  # the key as written; None on the section itself
    part: Literal["section", "key", "value"]
    range: Range  # of the name or the value itself
    entry: Entry


class Document:
    """A parsed config file: its tree, and what was wrong with the YAML itself."""

    def __init__(
        self,
        lines: Lines,
        root: Node | None,
        problems: list[Problem],
        *,
        complete: bool = True,
        damaged: frozenset[str] = frozenset(),
    ):
        self.lines = lines
        self.root = root
        self.problems = problems
        self.complete = complete  # False: some of the text could not be read
        self.damaged = damaged  # sections of which some lines could not be read

    @property
    def text(self) -> str:
        """The whole text."""
        return self.lines.text

    def sections(self) -> Iterator[Entry]:
        """Yield the entries of the top level that hold a mapping."""
        if isinstance(self.root, Mapping):
            for entry in self.root.entries:
                if isinstance(entry.value, Mapping):
                    yield entry

    def key_at(self, position: Position) -> Located | None:
        """Return the section name, key or value that a cursor at `position` touches."""
        if not isinstance(self.root, Mapping):
            return None
        for section in self.root.entries:
            name = section.key.text
            if section.key.range.contains(position):
                return Located(name, None, "section", section.key.range, section)
            if not isinstance(section.value, Mapping) or not section.range.contains(position):
                continue
            for entry in section.value.entries:
                if entry.key.range.contains(position):
                    return Located(name, entry.key.text, "key", entry.key.range, entry)
                if entry.value.range.contains(position):
                    return Located(name, entry.key.text, "value", entry.value.range, entry)
        return None

    def place_at(self, position: Position) -> Place:
        """Return what could be written at `position`. Works in text that does not parse."""
        return place_at(self.lines, position)


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
        composer = _Composer(self, first_line, shifts or {})
        try:
            return composer.compose(text)
        except yaml.MarkedYAMLError as error:
            trouble = errors.trouble_from(error, self.read_lines, composer.read_position)
            trouble.problem = self._written_problem(trouble.problem)
            raise trouble from None
        except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
            # Not a place but a limit of the reader: an escape beyond Unicode, for example.
            raise errors.trouble_at(composer.last, self.lines, str(error)) from None


class _Composer:
    """Builds the tree of one document from PyYAML's events, with a stack instead of recursion."""

    def __init__(self, parser: _Parser, first_line: int, shifts: dict[int, int]):
        self.parser = parser
        self.lines = parser.lines
        self.first_line = first_line
        self.shifts = shifts
        self.last = Position(first_line, 0)
        self.last_line = len(self.lines) - 1

    def position(self, mark: Any) -> Position:
        """Return where a mark of PyYAML stands in the file."""
        return self.parser.written(self.read_position(mark))

    def read_position(self, mark: Any) -> Position:
        """Return where a mark of PyYAML stands in the whole text as it is read."""
        line = mark.line + self.first_line
        if line > self.last_line:  # the end of the stream, seen as a line of its own
            return Position(self.last_line, len(self.parser.read_lines.line(self.last_line)))
        character = mark.column
        if line == 0 and self.parser.has_mark:
            character += 1
        if line in self.shifts:
            character = max(character - self.shifts[line], 0)
        return Position(line, character)

    def compose(self, text: str) -> Node | None:
        """Return the root of the first document, or None where there is none."""
        open_nodes: list[_Open] = []
        root: Node | None = None
        documents = 0
        event: Any
        for event in scanner.events(text):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                node: Node = self._scalar(event)
                if event.anchor:
                    self.parser.anchors[event.anchor] = node
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                open_nodes.append(self._start(event, kind is yaml.MappingStartEvent))
                if len(open_nodes) > DEEPEST_NESTING:
                    raise self._too_deep(open_nodes[-1].node.range.start)
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                node = self._end(event, open_nodes.pop())
            elif kind is yaml.AliasEvent:
                node = self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._second_document(event)
                    break
                continue
            else:
                continue
            self.last = node.range.end
            if open_nodes:
                open_nodes[-1].add(node, self)
            else:
                root = node
        return root

    def report(
        self,
        code: str,
        message: str,
        where: Range,
        fixes: tuple[Fix, ...] = (),
        related: tuple[Related, ...] = (),
        severity: Severity = "error",
    ) -> None:
        """Note a problem."""
        self.parser.problems.append(Problem(code, severity, message, where, fixes, related))

    def _scalar(self, event: Any) -> Scalar:
        start, end = self.position(event.start_mark), self.position(event.end_mark)
        if event.style in ("|", ">") and end.line > start.line:
            end = self._end_of_block(start, end)
        where = Range(start, end)
        text = event.value
        plain = not event.style
        if self.parser.swapped_back and not text.isascii():
            text = text.translate(self.parser.swapped_back)
        if _BAD_IN_VALUE.search(text):
            self.report("yaml-character", "This text contains an invalid character. Remove it.", where)
            text = _BAD_IN_VALUE.sub("\ufffd", text)
        if event.tag is not None:
            if event.tag not in _CORE_TAGS and event.tag != "!":
                self._unknown_tag(event.tag, where)
            plain = plain and event.tag not in ("!", "tag:yaml.org,2002:str")
            # `!!int "3"` is the number 3
            plain = plain or event.tag in _CORE_TAGS - {"tag:yaml.org,2002:str"}
        return Scalar(where, text, plain, event.tag, event.anchor)

    def _end_of_block(self, start: Position, end: Position) -> Position:
        """A block scalar's end mark stands on the line after it: move it back behind the last text."""
        line = min(end.line, len(self.lines) - 1)
        if end.character == 0 or not self.lines.line(line).strip():
            line -= 1
        while line > start.line and not self.lines.line(line).strip():
            line -= 1
        if line == start.line:  # nothing but its sign, which a comment may follow
            sign = _BLOCK_SIGN.match(self.lines.line(line), start.character)
            return Position(line, sign.end()) if sign else start
        return Position(line, len(self.lines.line(line).rstrip()))

    def _start(self, event: Any, is_mapping: bool) -> _Open:
        where = Range(self.position(event.start_mark), self.position(event.end_mark))
        flow = bool(event.flow_style)
        expected = "tag:yaml.org,2002:map" if is_mapping else "tag:yaml.org,2002:seq"
        if event.tag is not None and event.tag not in (expected, "!"):
            self._unknown_tag(event.tag, where)
        if event.anchor:
            self.parser.anchors[event.anchor] = None  # until it is complete
        node: Mapping | Sequence = Mapping(where, flow) if is_mapping else Sequence(where, flow)
        return _Open(node, event.anchor)

    def _end(self, event: Any, opened: _Open) -> Node:
        node = opened.node
        # The end mark of a block collection stands wherever the next token does; its own text ends earlier.
        end = self.position(event.end_mark) if node.flow else opened.last_end or node.range.start
        node.range = Range(node.range.start, max(end, node.range.start))
        if isinstance(node, Mapping):
            node.last_end = opened.last_end
        if opened.anchor:
            self.parser.anchors[opened.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        where = Range(self.position(event.start_mark), self.position(event.end_mark))
        name = event.anchor
        target = self.parser.anchors.get(name)
        if target is not None:
            return replace(target, range=where)  # shares the lists: nothing is copied, however often it is named
        if name in self.parser.anchors:
            self.report("yaml-alias", f"*{name} is inside the value that &{name} names.", where)
        else:
            message = f"No value has been named &{name} above this line. Write the value itself, or name one."
            self.report("yaml-alias", message, where)
        return Scalar(where, "", plain=True)

    def _unknown_tag(self, tag: str, where: Range) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")[:60]
        message = f"The tag {shown} has no meaning in a config. Write the value without it."
        self.report("yaml-tag", message, where)

    def _second_document(self, event: Any) -> None:
        start = self.position(event.start_mark)
        where = Range(start, Position(start.line, max(len(self.lines.line(start.line)), start.character)))
        message = "A second document starts here. A config is one document; everything from this line on is not read."
        self.report("yaml-several-documents", message, where)

    def _too_deep(self, start: Position) -> errors.SyntaxTrouble:
        where = Range(start, Position(start.line, start.character + 1))
        message = f"Values are nested more than {DEEPEST_NESTING} deep here. A config has three levels."
        return errors.SyntaxTrouble(Problem("yaml-too-deep", "error", message, where), (), hopeless=True)


class _Open:
    """A mapping or sequence whose end has not been reached."""

    def __init__(self, node: Mapping | Sequence, anchor: str | None):
        self.node = node
        self.anchor = anchor
        self.key: Node | None = None
        self.last_end: Position | None = None

    def add(self, child: Node, composer: _Composer) -> None:
        """Take the next child: an item, a key, or the value of the key before."""
        self.last_end = child.range.end if self.last_end is None else max(self.last_end, child.range.end)
        if isinstance(self.node, Sequence):
            self.node.items.append(child)
            return
        if self.key is None:
            self.key = child
            return
        key, self.key = self.key, None
        if not isinstance(key, Scalar):
            composer.report("yaml-key", "A key must be a name. This one is a list or a mapping.", key.range)
        elif key.text == "<<" and key.plain:
            self._merge(key, child, composer)
        else:
            self.node.entries.append(Entry(key, child))

    def _merge(self, key: Scalar, value: Node, composer: _Composer) -> None:
        assert isinstance(self.node, Mapping)
        merged = value.items if isinstance(value, Sequence) else [value]
        for mapping in merged:
            if isinstance(mapping, Mapping):
                self.node.merges.append(mapping)
            else:
                message = "`<<` copies the keys of another mapping, as in `<<: *name`. This is not a mapping."
                composer.report("yaml-alias", message, Range(key.range.start, max(key.range.end, mapping.range.end)))


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
