"""Builds the tree of one YAML document from PyYAML's events.

PyYAML's own composer loses where an alias stands, and cannot stop at a depth.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final, Protocol

import yaml

from trickster_engine.config.problems import Fix, Position, Problem, Range, Related, Severity
from trickster_engine.config.yaml import errors, scanner
from trickster_engine.config.yaml.nodes import Entry, Mapping, Node, Scalar, Sequence
from trickster_engine.config.yaml.text import Lines

DEEPEST_NESTING: Final = 50
_BAD_IN_VALUE: Final = re.compile("[\x00\ud800-\udfff]")
_BLOCK_SIGN: Final = re.compile(r"[|>][-+0-9]*")
_CORE_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))


class Source(Protocol):
    """The text that a document is composed of, and what has been found in it so far."""

    lines: Lines  # as the file has them
    read_lines: Lines  # as they are read
    has_mark: bool  # whether the file begins with a byte order mark
    swapped_back: dict[int, str]  # characters of the file, by those that stand for them while it is read
    problems: list[Problem]
    anchors: dict[str, Node | None]  # None: not complete yet

    def written(self, position: Position) -> Position:
        """Return where in the file that stands which is read at `position`."""


class Composer:
    """Builds the tree with a stack instead of recursion."""

    def __init__(self, parser: Source, first_line: int, shifts: dict[int, int]):
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

    def add(self, child: Node, composer: Composer) -> None:
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

    def _merge(self, key: Scalar, value: Node, composer: Composer) -> None:
        assert isinstance(self.node, Mapping)
        merged = value.items if isinstance(value, Sequence) else [value]
        for mapping in merged:
            if isinstance(mapping, Mapping):
                self.node.merges.append(mapping)
            else:
                message = "`<<` copies the keys of another mapping, as in `<<: *name`. This is not a mapping."
                composer.report("yaml-alias", message, Range(key.range.start, max(key.range.end, mapping.range.end)))
