"""The verdict over all measures, in one place for everything that shows it. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: A measure has come most of the way from random to real text from here on; see `measures.nearness`.
NEAR = 0.8


@dataclass(frozen=True)
class Verdict:
    """How many measures have come most of the way."""

    near: int  # measures that have come at least `NEAR` of the way from random to real
    of: int  # measures of which it can be told
    words: str


def judge(nearnesses: Sequence[float | None]) -> Verdict:
    """The verdict on measures that have come so far; None where it cannot be told of one, which does not count."""
    known = [near for near in nearnesses if near is not None]
    reached = sum(near >= NEAR for near in known)
    words = (
        f"On {reached} of {len(known)} measures the generated text is at least {NEAR:.0%} of the way from the "
        "untrained model's to real text."
        if known
        else "The untrained model is too close to real text on every measure to tell how far the model has come."
    )
    return Verdict(reached, len(known), words)
