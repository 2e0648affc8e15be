"""In what pieces attention is computed as plain matrix products. Known without torch, for the memory estimate."""

from __future__ import annotations

#: Longer sequences are done this many queries at a time, so that the half of the scores that causality forbids is
#: mostly never computed. Shorter ones are done whole: their matrices are small enough already.
QUERIES_AT_ONCE = 128
WHOLE_UP_TO = 256


def query_blocks(length: int) -> list[tuple[int, int]]:
    """Cut positions 0..length into pieces (first, last); queries first..last-1 look at keys 0..last-1."""
    at_once = length if length <= WHOLE_UP_TO else QUERIES_AT_ONCE
    return [(first, min(first + at_once, length)) for first in range(0, length, at_once)]
