"""Values that are lists: paths, patterns for files, and sources of text with weights."""

from __future__ import annotations

from collections.abc import Iterator

from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.patterns import pattern_error
from trickster_engine.config.problems import Range
from trickster_engine.config.yaml.nodes import Mapping, Node, Scalar, Sequence
from trickster_engine.config.yaml.scalars import shown

_MOST_TIMES = 100  # that a source is read in an epoch
_MOST_ITEMS = 1_000
#: Models that may teach one: each is held in memory, whole.
MOST_TEACHERS = 8
_EXAMPLE = "as in {path: a.txt, weight: 2}"

#: What is wrong with a part of a value: a code, a message and where.
Wrong = tuple[str, str, Range]


def read_patterns(name: str, node: Node) -> tuple[str, ...] | list[Wrong]:
    """The patterns that a key has, one alone without a list; or what is wrong with them."""
    items = node.items if isinstance(node, Sequence) else [node]
    patterns: list[str] = []
    wrong: list[Wrong] = []
    if len(items) > _MOST_ITEMS:
        return [("bad-pattern", f"{name} has more than {_MOST_ITEMS:,} patterns.", node.range)]
    for item in items:
        value = item.value if isinstance(item, Scalar) else None
        if not isinstance(value, str):
            wrong.append(("wrong-type", f"{name} takes patterns, each a text as in '*.txt'.", item.range))
        elif why := pattern_error(value):
            wrong.append(("bad-pattern", f"{name} has the pattern {shown(value)}: {why}.", item.range))
        else:
            patterns.append(value)
    return wrong or tuple(patterns)


def read_paths(name: str, node: Sequence) -> tuple[str, ...] | list[Wrong]:
    """The paths of a list; or what is wrong with them."""
    if not node.items:
        return [("missing-value", f"The list of {name} is empty. Name a folder, or remove the line.", node.range)]
    if len(node.items) > MOST_TEACHERS:
        return [("wrong-type", f"{name} has more than {MOST_TEACHERS} paths, the most there may be.", node.range)]
    found = [(item.value if isinstance(item, Scalar) else None, item) for item in node.items]
    wrong: list[Wrong] = [
        ("wrong-type", f"{name} takes paths, each a text on one line.", item.range)
        for value, item in found
        if not _is_path(value)
    ]
    return wrong or tuple(str(value) for value, _ in found)


def read_sources(node: Sequence) -> tuple[CorpusSource, ...] | list[Wrong]:
    """The sources of a list, each a path or a mapping; or what is wrong with them."""
    if not node.items:
        return [("missing-value", f"The list of sources is empty. Give it at least one, {_EXAMPLE}.", node.range)]
    if len(node.items) > _MOST_ITEMS:
        message = f"The list has more than {_MOST_ITEMS:,} sources. Put their files into a folder, which is one source."
        return [("wrong-type", message, node.range)]
    wrong = [problem for item in node.items for problem in _wrong_with(item)]
    return wrong or tuple(_source(item) for item in node.items)


def items_by_path(node: Node) -> dict[str, Scalar]:
    """Where a list of paths or sources names each, first of all; nothing for any other value.

    What an alias brings in from elsewhere is left out: there it may mean something else as well.
    """
    items = node.items if isinstance(node, Sequence) else []
    paths = [_parts(item).get("path") for item in reversed(items)]
    return {str(path.value): path for path in paths if isinstance(path, Scalar) and _is_within(path, node)}


def _is_within(inner: Node, outer: Node) -> bool:
    return outer.range.start <= inner.range.start and inner.range.end <= outer.range.end


def _parts(node: Node) -> dict[str, Node]:
    if isinstance(node, Mapping):
        return {entry.key.text: entry.value for entry in (*node.entries, *node.merged_entries())}
    return {"path": node}


def _source(node: Node) -> CorpusSource:
    parts = _parts(node)
    path, weight = (part.value if isinstance(part, Scalar) else None for part in map(parts.get, ("path", "weight")))
    assert isinstance(path, str)
    return CorpusSource(path, weight if isinstance(weight, int) else 1)


def _wrong_with(node: Node) -> Iterator[Wrong]:
    parts = _parts(node)
    for entry in node.entries if isinstance(node, Mapping) else ():
        if entry.key.text not in ("path", "weight"):
            message = f"A source has no {shown(entry.key.text)}. It has path and weight, {_EXAMPLE}."
            yield "unknown-key", message, entry.key.range
    path, weight = parts.get("path"), parts.get("weight")
    if path is None:
        yield "missing-value", f"A source needs a path, {_EXAMPLE}.", node.range
        return
    written = path.value if isinstance(path, Scalar) else None
    if not _is_path(written):
        yield "wrong-type", f"The path of a source is a text on one line, {_EXAMPLE}.", path.range
    if weight is None:
        return
    times = weight.value if isinstance(weight, Scalar) else None
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= _MOST_TIMES:
        yield (
            "out-of-range",
            f"The weight of a source is how many times it is read in an epoch: a whole number from 1 to {_MOST_TIMES}.",
            weight.range,
        )


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.strip() != "" and all(ord(character) >= 32 for character in value)
