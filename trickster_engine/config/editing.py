"""Edits of a config that leave everything else in it, comments and order, as it was."""

from __future__ import annotations

from trickster_engine.config.keys import SECTIONS, Key
from trickster_engine.config.problems import Edit, Position, Range
from trickster_engine.config.yaml_document import Document
from trickster_engine.config.yaml_nodes import Entry, Mapping, Scalar


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


def write_value(document: Document, key: Key, value: str) -> tuple[Edit, ...]:
    """Return the edits that make `key` have the YAML text `value`; none when the file gives no good place for it.

    Other names of the key that the file has as well are kept in step, or taken out where they say it differently.
    """
    entries = entries_of(document, key)
    if not entries:
        addition = add_key(document, key.section, key.name, value)
        return (addition,) if addition else ()
    if any(_is_named(document, entry) for entry in entries):
        return ()  # an alias elsewhere stands for this value, and would lose it
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


def replace_value(entry: Entry, value: str) -> Edit:
    """Return the edit that replaces the value of an entry."""
    where = entry.value.range
    empty = isinstance(entry.value, Scalar) and where.start == where.end
    return Edit(where, f" {value}" if empty else value)


def add_key(document: Document, section: str, name: str, value: str) -> Edit | None:
    """Return the edit that adds a key which is not there yet, and its section where that is missing too."""
    root = document.root
    lines = document.lines
    if root is not None and not isinstance(root, Mapping):
        return None
    for entry in root.entries if root else []:
        if entry.key.text == section:
            return _add_to_section(document, entry, name, value)
    if root is not None and root.flow:
        return _add_to_flow(root, f"{section}: {{{name}: {value}}}")
    if any(lines.line(number).startswith("...") for number in range(len(lines))):
        return None
    last = len(lines) - 1
    end = Position(last, len(lines.line(last)))
    separator = "" if not lines.line(last) else lines.line_end
    new_text = f"{separator}{section}:{lines.line_end}  {name}: {value}{lines.line_end}"
    return Edit(Range(end, end), new_text)


def _add_to_section(document: Document, section: Entry, name: str, value: str) -> Edit | None:
    lines = document.lines
    node = section.value
    if isinstance(node, Mapping):
        if node.flow:
            return _add_to_flow(node, f"{name}: {value}")
        if not node.entries:
            return None
        last = node.entries[-1]
        if node.range.start.line == section.key.range.start.line or last.key.range.start < section.key.range.start:
            return None  # an alias, or a mapping that does not start on a line of its own
        indent = " " * last.key.range.start.character
        line = last.range.end.line
        end = Position(line, len(lines.line(line)))
        return Edit(Range(end, end), f"{lines.line_end}{indent}{name}: {value}")
    if isinstance(node, Scalar) and node.value is None:
        addition = f"{lines.line_end}  {name}: {value}"
        if node.text:  # `model_config: null`
            return Edit(node.range, addition)
        line = section.key.range.end.line
        end = Position(line, len(lines.line(line)))
        return Edit(Range(end, end), addition)
    return None


def _add_to_flow(mapping: Mapping, text: str) -> Edit:
    before_bracket = Position(mapping.range.end.line, mapping.range.end.character - 1)
    where = Range(before_bracket, before_bracket)
    return Edit(where, f", {text}" if mapping.entries else text)


def remove_entry(document: Document, entry: Entry) -> Edit | None:
    """Return the edit that removes an entry with its lines; None when other text shares them."""
    where = document.lines.whole_lines(entry.range)
    return Edit(where, "") if where is not None else None


def move_entry(document: Document, entry: Entry, section: str, name: str) -> tuple[Edit, ...]:
    """Return the edits that take an entry out and write it into another section; none where that is not safe."""
    if not isinstance(entry.value, Scalar) and not (hasattr(entry.value, "flow") and entry.value.flow):
        return ()
    if section not in SECTIONS or entry.value.range.start.line != entry.value.range.end.line:
        return ()
    removal = remove_entry(document, entry)
    addition = add_key(document, section, name, document.lines.slice(entry.value.range))
    if removal is None or addition is None:
        return ()
    if removal.range.start <= addition.range.start < removal.range.end:
        return ()
    return removal, addition
