"""A parsed config: its tree with positions, and what was wrong with the YAML itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from trickster_engine.config.places import Place, place_at
from trickster_engine.config.problems import Position, Problem, Range
from trickster_engine.config.yaml.nodes import Entry, Mapping, Node
from trickster_engine.config.yaml.text import Lines


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
