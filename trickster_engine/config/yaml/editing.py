"""Edits of a config that leave everything else in it, comments and order, as it was."""

from __future__ import annotations

import re
from typing import Final

from trickster_engine.config.keys import SECTIONS, Key
from trickster_engine.config.problems import Edit, Position, Range
from trickster_engine.config.yaml.document import Document
from trickster_engine.config.yaml.nodes import Entry, Mapping, Scalar, Sequence
from trickster_engine.config.yaml.parser import parse
from trickster_engine.config.yaml.scalars import quote
from trickster_engine.config.yaml.text import Lines

# A value that is one value wherever it stands.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.+-]+|\"[^\"\\]*\"")


def entries_of(document: Document, key: Key) -> list[Entry]:
    """Return the entries that give `key`, under its own name or another one, its own name last."""
    names = {key.name, *(alias.name for alias in key.aliases)}
    found = [
        entry
        for section in document.sections()
        if section.key.text == key.section and isinstance(section.value, Mapping)
        for entry in section.value.entries
        if entry.key.text in names
    ]
    return sorted(found, key=lambda entry: entry.key.text == key.name)


def stands_elsewhere(document: Document, key: Key, entry: Entry) -> bool:
    """Return whether an entry that gives `key` is written in another section, or under a name that is not the key's."""
    sections = [section.value for section in document.sections() if section.key.text == key.section]
    for value in sections:
        if isinstance(value, Mapping) and any(entry is each for each in value.merged_entries()):
            return False
    if any(entry is each for each in entries_of(document, key)) or not isinstance(document.root, Mapping):
        return False
    nodes = (document.root, *(section.value for section in document.sections()))
    return any(entry is each for node in nodes if isinstance(node, Mapping) for each in node.entries)


def may_be_misspelt(document: Document, section: str) -> bool:
    """Return whether a section that is missing could stand under a name that is no section's."""
    names = [entry.key.text for entry in document.root.entries] if isinstance(document.root, Mapping) else []
    return section not in names and any(name not in SECTIONS for name in names)


def write_value(document: Document, key: Key, value: str) -> tuple[Edit, ...]:
    """Return the edits that make `key` have the YAML text `value`; none when the file gives no good place for it.

    Other names of the key that the file has as well are kept in step, or taken out where they say it differently. A
    value that would end early at its place, or be more than one value there, is put between quotes.
    """
    entries = entries_of(document, key)
    if not entries:
        addition = add_key(document, key.section, key.name, value)
        return (addition,) if addition else ()
    if any(_is_named(document, entry) for entry in entries):
        return ()  # an alias elsewhere stands for this value, and would lose it
    flow = any(_in_flow(document, section) for section in document.sections() if section.key.text == key.section)
    value = _fitting(value, flow=flow)
    *others, chosen = entries
    if chosen.key.text != key.name:  # under another name: change the name with the value
        edits = [Edit(chosen.range, f"{key.name}: {value}")]
    else:
        edits = [replace_value(chosen, value)]
    for entry in others:
        translated = any(alias.values is not None and alias.name == entry.key.text for alias in key.aliases)
        edit = remove_entry(document, entry) if translated else replace_value(entry, value)
        if edit is None:
            return ()
        edits.append(edit)
    return tuple(edits)


def _is_named(document: Document, entry: Entry) -> bool:
    """Return whether a value is named with `&name`."""
    if isinstance(entry.value, Scalar):
        return entry.value.anchor is not None and not document.lines.slice(entry.value.range).startswith("*")
    return "&" in document.lines.slice(entry.value.range)


def _in_flow(document: Document, section: Entry) -> bool:
    """Return whether the keys of a section stand between brackets."""
    return any(isinstance(node, Mapping) and node.flow for node in (document.root, section.value))


def _fitting(value: str, *, flow: bool) -> str:
    """Return the YAML text `value`, quoted where it would end early or be more than one value at its place."""
    if _PLAIN.fullmatch(value):
        return value
    if "\n" in value or "\r" in value:
        return quote(value)
    trial = parse(f"[{value}]" if flow else f"a: {value}\n")
    if isinstance(trial.root, Sequence):
        pair = any(isinstance(item, Mapping) for item in trial.root.items) and not value.startswith("{")
        single = len(trial.root.items) == 1 and not pair
    else:
        single = isinstance(trial.root, Mapping) and len(trial.root.entries) == 1
    return value if trial.complete and single else quote(value)


def replace_value(entry: Entry, value: str) -> Edit:
    """Return the edit that replaces the value of an entry."""
    where = entry.value.range
    if not isinstance(entry.value, Scalar) or where.start != where.end:
        # The dashes of a list may stand right below their key; another value may not.
        below = where.start.line > entry.key.range.start.line
        deeper = "  " if below and where.start.character <= entry.key.range.start.character else ""
        return Edit(where, deeper + value)
    has_colon = where.start > entry.key.range.end  # `{seed}` is a key without one
    return Edit(where, f" {value}" if has_colon else f": {value}")


def add_key(document: Document, section: str, name: str, value: str, comment: str = "") -> Edit | None:
    """Return the edit that adds a key which is not there yet, and its section where that is missing too.

    `comment` is put behind the value where that has a line of its own, with the blanks it starts with.
    """
    root = document.root
    lines = document.lines
    if root is not None and not isinstance(root, Mapping):
        return None
    for entry in root.entries if root else []:
        if entry.key.text == section:
            return _add_to_section(document, entry, name, value, comment)
    if root is not None and any(entry.key.text == section for entry in root.merged_entries()):
        return None  # a section of that name here would take the place of the whole of that one
    if root is not None and root.flow:
        return _add_to_flow(lines, root, f"{section}: {{{name}: {_fitting(value, flow=True)}}}")
    first = root.range.start.line + 1 if root else 0
    if any(lines.line(number).startswith("...") for number in range(len(lines))):
        return None
    if root is not None and any(lines.line(number).startswith("---") for number in range(first, len(lines))):
        return None  # the end of the text belongs to another document
    indent = ""
    if root is not None and root.entries:
        column = _indent_of(lines, root.entries[-1])
        if column is None:
            return None
        indent = column
    last = len(lines) - 1
    end = Position(last, len(lines.line(last)))
    separator = "" if not lines.line(last) else lines.line_end
    key_line = f"{indent}  {name}: {_fitting(value, flow=False)}{comment}"
    return Edit(Range(end, end), f"{separator}{indent}{section}:{lines.line_end}{key_line}{lines.line_end}")


def _indent_of(lines: Lines, entry: Entry) -> str | None:
    """Return the blanks in front of a key; None when something else stands there."""
    start = entry.key.range.start
    before = lines.line(start.line)[: start.character]
    if start.line == 0:
        before = before.removeprefix("\ufeff")
    return before if not before.strip(" ") else None


def _add_to_section(document: Document, section: Entry, name: str, value: str, comment: str) -> Edit | None:
    lines = document.lines
    node = section.value
    flow = _in_flow(document, section)
    value = _fitting(value, flow=flow)
    if isinstance(node, Mapping) and flow:
        return _add_to_flow(lines, node, f"{name}: {value}")
    if isinstance(node, Scalar) and node.value is None and flow:
        return replace_value(section, f"{{{name}: {value}}}")
    place = end_of_section(document, section)
    if place is None:
        return None
    where, indent = place
    return Edit(where, f"{lines.line_end}{indent}{name}: {value}{comment}")


def end_of_section(document: Document, section: Entry) -> tuple[Range, str] | None:
    """Return where lines can be added to a section in block notation, and what they are indented by.

    None when it has no such place. The range is empty, but for a section that is `null` in words.
    """
    lines = document.lines
    node = section.value
    if isinstance(node, Mapping) and not node.flow:
        if not node.entries:
            return None
        last = node.entries[-1]
        if node.range.start.line == section.key.range.start.line or last.key.range.start < section.key.range.start:
            return None  # an alias, or a mapping that does not start on a line of its own
        indent = _indent_of(lines, last)
        line = max(last.range.end, node.last_end or last.range.end).line
    elif isinstance(node, Scalar) and node.value is None:
        outer = _indent_of(lines, section)
        indent = None if outer is None else outer + "  "
        if node.text:  # `model_config: null`
            return None if indent is None else (node.range, indent)
        line = section.key.range.end.line
    else:
        return None
    end = Position(line, len(lines.line(line)))
    return None if indent is None else (Range(end, end), indent)


def _add_to_flow(lines: Lines, mapping: Mapping, text: str) -> Edit | None:
    """Return the edit that adds `text` to a flow mapping, on a line of its own where the last key has one."""
    start, end = mapping.range
    if not lines.slice(mapping.range).endswith("}"):
        return None  # an alias: the mapping itself stands elsewhere
    bracket = Position(end.line, end.character - 1)
    place = mapping.last_end
    if place is None:
        return Edit(Range(bracket, bracket), text)
    if not start <= place <= bracket:
        return None
    comma = _comma_behind(lines, Range(place, bracket))
    if comma is not None:
        place = Position(comma.line, comma.character + 1)
    rest = lines.line(place.line)[place.character :]
    last = mapping.entries[-1] if mapping.entries else None
    indent = _indent_of(lines, last) if last is not None and place.line == last.range.end.line else None
    if last is None or indent is None or last.key.range.start.line == start.line or bracket.line == place.line:
        behind = " " if rest.startswith("#") else ""
        return Edit(Range(place, place), f"{',' if comma is None else ''} {text}{behind}")
    end_of_line = Position(place.line, len(lines.line(place.line)))
    if comma is not None:
        return Edit(Range(end_of_line, end_of_line), f"{lines.line_end}{indent}{text},")
    return Edit(Range(place, end_of_line), f",{rest}{lines.line_end}{indent}{text}")


def _comma_behind(lines: Lines, where: Range) -> Position | None:
    """Return the comma in a range that holds nothing else but blanks and comments."""
    for number in range(where.start.line, where.end.line + 1):
        first = where.start.character if number == where.start.line else 0
        line = lines.line(number)[: where.end.character if number == where.end.line else None]
        comma = line[first:].split("#")[0].find(",")
        if comma >= 0:
            return Position(number, first + comma)
    return None


def merge_section(document: Document, first: Entry, second: Entry) -> tuple[Edit, ...]:
    """Return the edits that move the lines below `second` to the end of `first`, comments included.

    None where lines would be lost or change their meaning: where both give a key different values, or a name is given
    with `&` or used. What both say alike is written once.
    """
    lines = document.lines
    place = end_of_section(document, first)
    target, source = first.value, second.value
    if place is None or not isinstance(source, Mapping) or source.merges or end_of_section(document, second) is None:
        return ()
    have = {entry.key.text: entry.value for entry in target.entries} if isinstance(target, Mapping) else {}
    removal = remove_entry(document, second)
    header = second.key.range.start.line
    numbers = range(header + 1, max(second.range.end, source.last_end or second.range.end).line + 1)
    text = "".join(lines.line_with_end(number) for number in numbers)
    head = lines.line(header)[second.key.range.end.character :]
    if removal is None or "#" in head or "&" in text or "*" in text or (isinstance(target, Mapping) and target.merges):
        return ()
    indent = _indent_of(lines, source.entries[0])
    where, wanted = place
    if indent is None or removal.range.start <= where.start < removal.range.end:
        return ()
    doubled: set[int] = set()
    for entry in source.entries:
        if entry.key.text not in have:
            continue
        value, other = entry.value, have[entry.key.text]
        own_lines = lines.whole_lines(entry.range)
        if not isinstance(value, Scalar) or not isinstance(other, Scalar) or own_lines is None:
            return ()
        if "#" in lines.line(entry.range.end.line)[entry.range.end.character :]:
            return ()  # what it says behind the value would be lost
        if (value.text, value.plain) != (other.text, other.plain):
            return ()
        doubled.update(range(entry.range.start.line, entry.range.end.line + 1))
    kept = [lines.line(number) for number in numbers if number not in doubled]
    if indent != wanted:
        if any(line.strip() and not line.startswith(indent) for line in kept):
            return ()
        kept = [wanted + line[len(indent) :] if line.strip() else line for line in kept]
    return removal, Edit(where, "".join(lines.line_end + line for line in kept))


def remove_entry(document: Document, entry: Entry) -> Edit | None:
    """Return the edit that removes an entry with its lines; None when other text shares them."""
    where = document.lines.whole_lines(entry.range)
    return Edit(where, "") if where is not None else None


def move_entry(document: Document, entry: Entry, section: str, name: str) -> tuple[Edit, ...]:
    """Return the edits that take an entry out and write it into another section; none where that is not safe.

    A comment behind the value goes with it, where it is written on a line of its own again.
    """
    if not isinstance(entry.value, Scalar) and not (hasattr(entry.value, "flow") and entry.value.flow):
        return ()
    if section not in SECTIONS or entry.value.range.start.line != entry.value.range.end.line:
        return ()
    value = document.lines.slice(entry.value.range)
    if value.startswith("*") or _is_named(document, entry):
        return ()  # a name counts only below the place where it is given
    end = entry.range.end
    comment = document.lines.line(end.line)[end.character :].rstrip()
    removal = remove_entry(document, entry)
    addition = add_key(document, section, name, value, comment)
    if removal is None or addition is None:
        return ()
    if removal.range.start <= addition.range.start < removal.range.end:
        return ()
    if document.lines.slice(removal.range).count("#") > addition.new_text.count("#"):
        return ()  # a comment would be lost: two of them, or no room for one between braces
    return removal, addition
