"""What could be written at a position of a config, worked out from its lines alone: it holds in unfinished text too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from trickster_engine.config.problems import Position, Range
from trickster_engine.config.yaml.text import Lines

_HEAD = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*(?::|$)")
_DASH = re.compile(r"([ \t]*)-(?:([ \t]+)|$)")
#: What may stand in front of a value: a name for aliases, and a kind.
_PROPERTIES = re.compile(r"^\s*(?:[&!]\S*(?:\s+|$))*")
_KEY = re.compile(r"([ \t]+)([^\s:#][^:#]*?)[ \t]*:(?:[ \t]|$)")

#: How far a list is followed: whoever writes a longer one is not helped with its items.
_MOST_LINES, _LONGEST_LIST = 1_000, 1 << 16


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
    match, dash = _KEY.match(before), _DASH.match(before)
    key: str | None = None
    written = ""
    if match:
        key, written = match.group(2), before[match.end() :]
    elif dash:
        key = _list_above(lines, position.line, len(dash.group(1)))
        if key and dash.group(2):
            word = _word(line, position.line, character, before[dash.end() :])
            return Place("value", section, key, *word, present, indent, in_list=True)
    else:
        key, written = _flow_above(lines, position.line, before)
    listed = _in_flow_list(written)
    if listed is not None and listed.open:
        word = _item_word(line, position.line, character, listed)
        return Place("value", section, key, *word, present, indent, in_list=True)
    if listed is not None or (key and dash):  # behind a list, in a mapping in it, or right behind a dash
        here = Range(Position(position.line, character), Position(position.line, character))
        return Place("value", section, None, here, "", present, indent)
    if match:
        return Place("value", section, key, *_word(line, position.line, character, written), present, indent)
    return Place("key", section, None, *word, present, indent)


def _list_above(lines: Lines, number: int, indent: int) -> str | None:
    """Return the key whose block list has an item on line `number`, whose items are indented by `indent`."""
    for line_number in range(number - 1, max(-1, number - _MOST_LINES), -1):
        line = lines.line(line_number)
        depth = len(line) - len(line.lstrip())
        dash, key = _DASH.match(line), _KEY.match(line)
        if not line.strip() or line.lstrip().startswith("#") or depth > indent or (dash and depth == indent):
            continue
        return key.group(2) if key and not _PROPERTIES.sub("", line[key.end() :]).partition("#")[0].strip() else None
    return None


def _flow_above(lines: Lines, number: int, before: str) -> tuple[str | None, str]:
    """Return the key in a line above whose value may go on in line `number`, and that value up to the cursor."""
    depth = len(before) - len(before.lstrip())
    written = [before]
    for line_number in range(number - 1, max(-1, number - _MOST_LINES), -1):
        line = lines.line(line_number)
        key = _KEY.match(line)
        if key and len(key.group(1)) < depth:
            return key.group(2), "\n".join([line[key.end() :], *reversed(written)])
        if line.strip() and len(line) - len(line.lstrip()) < depth:
            break
        written.append(line)
    return None, ""


class _Listed(NamedTuple):
    """A place in or behind a list in brackets: whether it is in it, the item so far, and the quote that it is in."""

    open: bool
    item: str
    quote: str


def _in_flow_list(written: str) -> _Listed | None:
    """Where in a list in brackets a value ends that is written so far; None where it is no such list."""
    if len(written) > _LONGEST_LIST:
        return None
    text = _PROPERTIES.sub("", written)
    if not text.startswith("["):
        return None
    brackets: list[str] = []
    start, quote, previous = 0, "", ""
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and previous in "[{,:":
            quote = character
        elif character in "[{,":
            start = index + 1
            brackets += [character] if character != "," else []
        elif character in "]}" and brackets:
            brackets.pop()
        previous = character if not character.isspace() else previous
    return _Listed(brackets == ["["], text[start:].rpartition("\n")[2].lstrip(), quote)


def _item_word(line: str, number: int, character: int, listed: _Listed) -> tuple[Range, str]:
    """Return the range of a list's item around the cursor, and its part before it."""
    end = line.find(listed.quote, character) + 1 if listed.quote else 0
    if end == 0:
        rest = re.split(r"[,\]]|\s#", line[character:])[0]
        end = character + len(rest.rstrip())
    return Range(Position(number, character - len(listed.item)), Position(number, end)), listed.item


def _word(line: str, number: int, character: int, before: str) -> tuple[Range, str]:
    """Return the range of the word around the cursor, and its part before it."""
    typed = before.lstrip()
    rest = line[character:]
    tail = re.match(r"[^\s:#]*" if ":" in rest else r"[^#]*", rest)
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
