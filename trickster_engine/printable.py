"""Text of a model that may know nothing yet, made fit for a screen."""

from __future__ import annotations

_KEPT = frozenset("\n\t")
_DOT = "\N{MIDDLE DOT}"


def printable(text: str) -> str:
    """The text with a middle dot for every character that has no look of its own.

    Random weights write control characters, which would ring a terminal's bell, move its cursor or turn its colours.
    """
    return "".join(c if c in _KEPT or (c.isprintable() and c != "\N{REPLACEMENT CHARACTER}") else _DOT for c in text)
