"""Slips of the pen that YAML takes for something else: what they are, and how the text reads without them.

`hidden_dim:64`, `hidden_dim = 64`, `- hidden_dim: 64`, spaces from a web page, Markdown around the file, both sides of
a merge conflict. Each is one problem with one remedy, and the rest of the file is read as it was meant.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from trickster_engine.config.keys.names import KNOWN_NAMES
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range
from trickster_engine.config.yaml.nodes import Mapping, Node, Scalar, Sequence

_MOST_SLIPS: Final = 200
#: Blanks of Unicode that look like a space and are none to YAML.
ODD_SPACES: Final = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_ANY_SPACE: Final = f"[ \t{ODD_SPACES}]"
_ODD: Final = re.compile(f"[{ODD_SPACES}]")
_LEADING: Final = re.compile(f"{_ANY_SPACE}+")
_BEHIND_COLON: Final = re.compile(f"{_ANY_SPACE}*(?:- *)?[\\w\"'.-]+({_ANY_SPACE}*):({_ANY_SPACE}+)")
_FENCE: Final = re.compile(r" *(?:```|~~~)[\w -]*")
_BLOCK_TEXT: Final = re.compile(r"(?:^|[:-])[ \t]+[|>][-+0-9]*[ \t]*(?:#.*)?$")
_EQUALS: Final = re.compile(r"( *)([A-Za-z_]\w*)(\s*=\s*)(?=[^\s=#])")
_NO_SPACE: Final = re.compile(r"( *(?:- +)?)([A-Za-z_]\w*):(?=[^\s:#])(?!//)")
_NO_SPACE_IN_BRACKETS: Final = re.compile(r"[{,]\s*([A-Za-z_]\w*):(?=[^\s:,}\]#])(?!//)")
_ITEM: Final = re.compile(r"( *)(- +)([A-Za-z_]\w*)\s*:(?=\s|$)")
_MIDDLE: Final = "======="
_CONFLICTS: Final = (["<<<<<<<", _MIDDLE, ">>>>>>>"], ["<<<<<<<", "|||||||", _MIDDLE, ">>>>>>>"])
_MARKS: Final = re.compile(r"(?:<{7}|\|{7}|>{7})(?: .*)?|={7}")


class LineEdit(NamedTuple):
    """The text of one line from `start` to `end` is read as `text`."""

    line: int
    start: int
    end: int
    text: str


@dataclass
class _Run:
    """Items of one list, one below the other."""

    column: int
    items: list[tuple[int, re.Match[str]]]
    continued: bool = False  # one of them has more keys below its first

    def closed(self) -> list[tuple[int, re.Match[str], bool]]:
        return [(number, item, self.continued) for number, item in self.items]


class Slips:
    """What was found in one text: problems, and the edits with which it is read."""

    def __init__(self, lines: list[str], inside: Container[int]):
        self._written = lines
        self._lines = [line.replace("\ufeff", " ") for line in lines]  # a byte order mark stands in nobody's way
        self._inside = inside  # lines within a text that is known to be one
        self.problems: list[Problem] = []
        self.edits: dict[int, list[LineEdit]] = {}
        self._find()

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.problems)

    def text(self) -> str:
        """Return the text as it is meant; lines keep their numbers."""
        lines = list(self._written)
        for number, edits in self.edits.items():
            for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
                lines[number] = lines[number][: edit.start] + edit.text + lines[number][edit.end :]
        return "\n".join(lines)

    def written(self, position: Position) -> Position:
        """Return where in the file that stands which is read at `position`."""
        moved = 0
        for edit in sorted(self.edits.get(position.line, ()), key=lambda edit: edit.start):
            into = position.character - (edit.start + moved)
            if into < 0:
                break
            if into < len(edit.text):
                return Position(position.line, min(edit.start + into, edit.end))
            moved += len(edit.text) - (edit.end - edit.start)
        return Position(position.line, position.character - moved)

    # ---- looking ----------------------------------------------------------------------------------------------------

    def _find(self) -> None:
        done = self._conflicts()
        items = self._items(done)
        for number, line in self._content(done):
            if len(self.problems) >= _MOST_SLIPS:
                return
            if _FENCE.fullmatch(line.rstrip()):
                self._fence(number)
            elif number not in items:
                self._in_line(number, line)

    def _content(self, done: Container[int]) -> Iterator[tuple[int, str]]:
        """Yield the lines that are no part of a block text."""
        text_of: int | None = None  # the indentation of the line that a block text belongs to
        for number, line in enumerate(self._lines):
            if number in done:
                continue
            indent = len(line) - len(line.lstrip(" "))
            if text_of is not None and (not line.strip() or indent > text_of):
                continue
            text_of = indent if _BLOCK_TEXT.search(line) else None
            if line.strip() and number not in self._inside:
                yield number, line

    def _in_line(self, number: int, line: str) -> None:
        self._odd_spaces(number, line)
        if line.lstrip().startswith("#"):
            return
        plain = _ODD.sub(" ", line)
        equals, no_space = _EQUALS.match(plain), _NO_SPACE.match(plain)
        if equals and equals.group(2) in KNOWN_NAMES:
            name = equals.group(2)
            message = f"A config is written with a colon: `{name}: value`, not with an equals sign."
            self._replace("yaml-missing-colon", message, number, equals.span(3), ": ", f"Write `{name}:`")
            return
        if no_space and no_space.group(2) in KNOWN_NAMES:
            self._missing_space(number, no_space.group(2), no_space.end())
        for match in _NO_SPACE_IN_BRACKETS.finditer(plain):
            before = plain[: match.start()]
            quoted = before.count('"') % 2 or before.count("'") % 2 or " #" in before
            if match.group(1) in KNOWN_NAMES and not quoted:
                self._missing_space(number, match.group(1), match.end())

    def _missing_space(self, number: int, name: str, at: int) -> None:
        message = f"A space is missing after the colon of {name}. Without it YAML reads one word."
        self._replace("yaml-missing-space", message, number, (at, at), " ", "Put a space after the colon")

    def _odd_spaces(self, number: int, line: str) -> None:
        leading = _LEADING.match(line)
        spans = [leading.span()] if leading else []
        behind = _BEHIND_COLON.match(line)
        if behind:
            spans += [span for span in (behind.span(1), behind.span(2)) if span[0] < span[1]]
        for start, end in spans:
            run = line[start:end]
            odd = _ODD.search(run)
            if odd is None:
                continue
            name = "no-break space" if odd.group() in "\xa0\u202f" else "wide or narrow space"
            message = (
                f"This looks like a space and is a {name} (U+{ord(odd.group()):04X}), which YAML reads as a letter. "
                "It comes from a web page or a word processor."
            )
            self._replace(
                "yaml-character", message, number, (start, end), _ODD.sub(" ", run), "Replace by plain spaces"
            )

    def _fence(self, number: int) -> None:
        where = self._whole(number, number)
        message = "This line is Markdown, which marks code with such lines. Remove it from a config."
        fix = Fix("Remove this line", (Edit(self._lines_of(number, number), ""),), preferred=True)
        self.problems.append(Problem("yaml-markdown", "error", message, where, (fix,)))
        self._blank(number)

    # ---- lists of keys ----------------------------------------------------------------------------------------------

    def _items(self, done: Container[int]) -> set[int]:
        """Find lines such as `- hidden_dim: 64`, also one list within another, and read them without their dashes."""
        found: list[tuple[int, re.Match[str], bool]] = []
        open_runs: list[_Run] = []
        for number, line in self._content(done):
            item = _ITEM.match(line)
            if item and item.group(3) not in KNOWN_NAMES:
                item = None
            indent = item.end(1) if item else len(line) - len(line.lstrip(" "))
            if line.lstrip().startswith("#"):
                continue
            while open_runs and (open_runs[-1].column > indent or (open_runs[-1].column == indent and not item)):
                found += open_runs.pop().closed()
            if item and open_runs and open_runs[-1].column == indent:
                open_runs[-1].items.append((number, item))
            elif item:
                open_runs.append(_Run(indent, [(number, item)]))
            elif open_runs:
                open_runs[-1].continued |= indent == open_runs[-1].items[-1][1].end(2)
        while open_runs:
            found += open_runs.pop().closed()
        if not found:
            return set()
        edits = []
        for number, item, continued in sorted(found, key=lambda each: each[0]):
            start, end = item.span(2)
            # Where more keys follow in the column behind the dash, the first stays above them.
            edit = LineEdit(number, start, end, " " * (end - start) if continued else "")
            self.edits.setdefault(number, []).append(edit)
            edits.append(Edit(Range(Position(number, start), Position(number, end)), edit.text))
        first = edits[0].range.start
        where = Range(first, Position(first.line, len(self._lines[first.line].rstrip())))
        message = "A dash makes a list item, and a config's keys are not list items. Write `name: value` without it."
        title = "Remove the dash" if len(edits) == 1 else f"Remove the {len(edits)} dashes"
        self.problems.append(Problem("yaml-dash", "error", message, where, (Fix(title, tuple(edits), preferred=True),)))
        return {number for number, _, _ in found}

    # ---- merge conflicts --------------------------------------------------------------------------------------------

    def _conflicts(self) -> set[int]:
        """Find conflicts and read their first side; return the lines that this has dealt with."""
        done: set[int] = set()
        marks = [(number, line[:7]) for number, line in enumerate(self._lines) if _MARKS.fullmatch(line.rstrip())]
        if all(mark == _MIDDLE for _, mark in marks):
            return done  # a line of equals signs alone is no conflict
        while marks:
            kinds = [kind for _, kind in marks[:4]]
            shapes = [shape for shape in _CONFLICTS if kinds[: len(shape)] == shape]
            numbers = [number for number, _ in marks[: len(shapes[0]) if shapes else 1]]
            del marks[: len(numbers)]
            first, last = numbers[0], numbers[-1]
            fixes: tuple[Fix, ...]
            if shapes:
                message = (
                    "A merge has left both versions here: one above =======, one below. Keep one of them, or write "
                    "what both mean, and remove the lines of signs. Until then the first is looked at."
                )
                first_side = (Edit(self._lines_of(first, first), ""), Edit(self._lines_of(numbers[1], last), ""))
                second_side = (Edit(self._lines_of(first, numbers[-2]), ""), Edit(self._lines_of(last, last), ""))
                fixes = (Fix("Keep the first version", first_side), Fix("Keep the second version", second_side))
                left_out = {first, *range(numbers[1], last + 1)}
            else:
                mark = self._lines[first][:7]
                message = f"The line {mark} is left over from a merge. Remove it once the rest is right."
                fixes = (Fix("Remove this line", (Edit(self._lines_of(first, first), ""),)),)
                left_out = {first}
            self.problems.append(Problem("yaml-conflict", "error", message, self._whole(first, last), fixes))
            for number in left_out:
                self._blank(number)
            done |= left_out
        return done

    # ---- small things -----------------------------------------------------------------------------------------------

    def _replace(self, code: str, message: str, number: int, span: tuple[int, int], text: str, title: str) -> None:
        start, end = span
        self.edits.setdefault(number, []).append(LineEdit(number, start, end, text))
        edit = Edit(Range(Position(number, start), Position(number, end)), text)
        line = self._lines[number]
        shown = Range(edit.range.start, edit.range.end)
        if code != "yaml-character":
            first = len(line) - len(line.lstrip(" " + ODD_SPACES))
            shown = Range(Position(number, first), Position(number, len(line.rstrip())))
        self.problems.append(Problem(code, "error", message, shown, (Fix(title, (edit,), preferred=True),)))

    def _blank(self, number: int) -> None:
        self.edits[number] = [LineEdit(number, 0, len(self._lines[number]), "")]

    def _whole(self, first: int, last: int) -> Range:
        return Range(Position(first, 0), Position(last, len(self._lines[last])))

    def _lines_of(self, first: int, last: int) -> Range:
        """Return the range of lines with what ends them."""
        if last + 1 < len(self._lines):
            return Range(Position(first, 0), Position(last + 1, 0))
        return self._whole(first, last)


def may_hide_slips(text: str, root: Node | None) -> bool:
    """Return whether a text that YAML can read probably says something else than was meant."""
    if any(space in text for space in ODD_SPACES):
        return True
    if not isinstance(root, Mapping):
        return root is not None and not (isinstance(root, Scalar) and root.value is None)
    for entry in root.entries:
        value = entry.value
        if ":" in entry.key.text or isinstance(value, Sequence):
            return True
        if isinstance(value, Scalar) and isinstance(value.value, str) and entry.key.text in KNOWN_NAMES:
            return True
        if isinstance(value, Mapping) and any(":" in inner.key.text for inner in value.entries):
            return True
    return False


def lines_within_texts(root: Node | None) -> frozenset[int]:
    """Return the lines on which a text goes on that is quoted, a block, or the value of a key."""
    found: set[int] = set()
    waiting: list[tuple[Node, bool]] = [(root, False)] if root is not None else []
    visited: set[int] = set()
    while waiting:
        node, is_value = waiting.pop()
        if isinstance(node, Scalar):
            if is_value or not node.plain:
                found.update(range(node.range.start.line + 1, node.range.end.line + 1))
            continue
        children = node.items if isinstance(node, Sequence) else node.entries
        if id(children) in visited:  # by list: an alias shares it
            continue
        visited.add(id(children))
        if isinstance(node, Sequence):
            waiting += [(item, True) for item in node.items]
        else:
            at_margin = node is root
            waiting += [(entry.value, not at_margin) for entry in node.entries]
    return frozenset(found)
