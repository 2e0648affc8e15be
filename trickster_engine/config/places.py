"""What could be written at a position of a config, worked out from its lines alone: it holds in unfinished text too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from trickster_engine.config.problems import Position, Range
from trickster_engine.config.yaml.text import Lines

_HEAD = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*(?::|$)")
_ITEM = re.compile(r"([ \t]*)-(?:[ \t]+|$)")
_KEY = re.compile(r"([ \t]+)([^\s:#][^:#]*?)[ \t]*:(?:[ \t]|$)")


@dataclass(frozen=True)
class Place:
    """What could be written at a position."""

    kind: Literal["section", "key", "value", "comment"]
    section: str | None  # the section the position is in
    name: str | None  # the key whose value is being written
    range: Range  # what a completion would replace
    typed: str  # the part of that text before the position
    present: frozenset[str]  # names already there: sections, or this section's other keys
    indent: str  # what the keys of this section are indented by
    in_list: bool = False  # whether the value is one of several


def place_at(lines: Lines, position: Position) -> Place:
    """Return what could be written at `position`."""
    line = lines.line(position.line)
    character = min(position.character, len(line))
    before = line[:character].removeprefix("\ufeff") if position.line == 0 else line[:character]
    head = _head_above(lines, position.line)
    section = head[0] if head else None
    present, indent = _keys_of(lines, head[1], position.line) if head else (frozenset[str](), "  ")
    if _in_comment(before):
        here = Range(Position(position.line, character), Position(position.line, character))
        return Place("comment", section, None, here, "", present, indent)

    word = _word(line, position.line, character, before)
    at_margin = not line[:1].isspace() and before == before.lstrip() and (before or not head or not line)
    name, colon, after_colon = before.partition(":")
    if at_margin and colon:  # a value directly behind a section's name
        return Place("value", None, name.strip(), *_word(line, position.line, character, after_colon), present, "")
    if head is None or (at_margin and (before or not indent)):
        return Place("section", None, None, *word, _sections_of(lines, position.line), "")
    match = _KEY.match(before)
    if match:
        after = before[match.end() :]
        in_list = after.lstrip().startswith("[")
        if in_list:
            after = re.split(r"[\[,]", after)[-1]
        word = _word(line, position.line, character, after, ",]" if in_list else "")
        return Place("value", section, match.group(2), *word, present, indent, in_list)
    item = _ITEM.match(before)
    of_list = _list_above(lines, position.line, len(item.group(1))) if item else None
    if item and of_list:
        word = _word(line, position.line, character, before[item.end() :])
        return Place("value", section, of_list, *word, present, indent, in_list=True)
    return Place("key", section, None, *word, present, indent)


def _list_above(lines: Lines, number: int, indent: int) -> str | None:
    """Return the key whose list has an item on line `number`, where it and those above it are indented so."""
    for line_number in range(number - 1, -1, -1):
        line = lines.line(line_number)
        item, key = _ITEM.match(line), _KEY.match(line)
        if not line.strip() or (item and len(item.group(1)) == indent):
            continue
        return key.group(2) if key and len(key.group(1)) <= indent and line.rstrip().endswith(":") else None
    return None


def _word(line: str, number: int, character: int, before: str, ends: str = "") -> tuple[Range, str]:
    """Return the range of the word around the cursor, which any of `ends` ends, and its part before it."""
    typed = before.lstrip()
    rest = line[character:]
    tail = re.match(rf"[^\s:#{re.escape(ends)}]*" if ":" in rest or ends else r"[^#]*", rest)
    length = len(tail.group().rstrip()) if tail else 0
    return Range(Position(number, character - len(typed)), Position(number, character + length)), typed


def _head_above(lines: Lines, number: int) -> tuple[str, int] | None:
    """Return the section that line `number` stands in, and its line."""
    start = number
    if not lines.line(number)[:1].isspace() and lines.line(number).strip():
        start = number - 1  # a line at the margin is in no section
        if _HEAD.match(lines.line(number)):
            return None
    for line_number in range(start, -1, -1):
        line = lines.line(line_number)
        if line_number == 0:
            line = line.removeprefix("\ufeff")
        match = _HEAD.match(line)
        if match:
            return match.group(1), line_number
    return None


def _keys_of(lines: Lines, head: int, skipped: int) -> tuple[frozenset[str], str]:
    """Return the keys of the section whose name stands on line `head`, and what they are indented by."""
    names = set()
    indent = ""
    for number in range(head + 1, len(lines)):
        line = lines.line(number)
        if _HEAD.match(line):
            break
        match = _KEY.match(line)
        if match and number != skipped:
            indent = indent or match.group(1)
            names.add(match.group(2).strip("\"'"))
    return frozenset(names), indent or "  "


def _sections_of(lines: Lines, skipped: int) -> frozenset[str]:
    names = set()
    for number in range(len(lines)):
        line = lines.line(number).removeprefix("\ufeff") if number == 0 else lines.line(number)
        match = _HEAD.match(line)
        if match and number != skipped:
            names.add(match.group(1))
    return frozenset(names)


def _in_comment(before: str) -> bool:
    """Return whether a `#` that starts a comment stands in `before`: after a blank, outside of quotes."""
    quote = ""
    previous = " "
    for character in before:
        if quote:
            if character == quote:
                quote = ""
        elif character in "\"'" and previous in " [,:":
            quote = character
        elif character == "#" and previous in " \t":
            return True
        previous = character
    return False
