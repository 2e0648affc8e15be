"""The tree of a YAML file as it was written: values with the exact places where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from trickster_engine.config.problems import Position, Range
from trickster_engine.config.yaml.scalars import Value, resolve

# A mapping takes at most this many entries from others through `<<`.
_MOST_MERGED = 10_000


@dataclass(slots=True)
class Scalar:
    """One value. `text` is what it says, with quotes and escapes undone."""

    range: Range
    text: str
    plain: bool  # written without quotes, so that it may be a number
    tag: str | None = None
    anchor: str | None = None

    @property
    def value(self) -> Value:
        """What the scalar means under YAML 1.2: null, true or false, a number, or a text."""
        return resolve(self.text) if self.plain else self.text


@dataclass(slots=True)
class Sequence:
    """A list, in either notation."""

    range: Range
    flow: bool
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """A key with its value."""

    key: Scalar
    value: Node

    @property
    def range(self) -> Range:
        """From the start of the key to the end of the value."""
        return Range(self.key.range.start, max(self.key.range.end, self.value.range.end))


@dataclass(slots=True)
class Mapping:
    """Keys with their values, in the order of the file; `merges` are the mappings named after `<<`.

    `last_end` is where the last thing in it ends, which is before the comma and the bracket of a flow mapping.
    """

    range: Range
    flow: bool
    entries: list[Entry] = field(default_factory=list)
    merges: list[Mapping] = field(default_factory=list)
    last_end: Position | None = None

    def merged_entries(self) -> Iterator[Entry]:
        """Yield the entries that come from `<<`: those whose key nothing nearer has given."""
        seen = {entry.key.text for entry in self.entries}
        visited: set[int] = set()  # by entry list: an alias copies the mapping but shares its lists
        waiting = list(reversed(self.merges))
        while waiting and len(seen) < _MOST_MERGED:
            mapping = waiting.pop()
            if id(mapping.entries) in visited:
                continue
            visited.add(id(mapping.entries))
            for entry in mapping.entries:
                if entry.key.text not in seen:
                    seen.add(entry.key.text)
                    yield entry
            waiting.extend(reversed(mapping.merges))


Node = Scalar | Sequence | Mapping
