"""An n-gram model that can be asked what comes next: interpolated modified Kneser-Ney over bytes, in memory.

`kneser_ney.py` says how likely the tokens of a given text are, without holding the counts. To write or to complete a
text one needs the probability of every byte after a context, and so the counts themselves. The formula is the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from trickster_engine.data.baselines import LONGEST
from trickster_engine.data.kneser_ney import Floats, Ints, discounts

#: A byte's values, and the bits that one takes in a packed n-gram.
BYTES, _BITS = 256, 8


class _Counts(NamedTuple):
    """n-grams of one length, packed and in ascending order, how often each counts, and what is taken off a count."""

    ngrams: npt.NDArray[np.uint64]
    counts: Ints
    taken: Floats  # [3], of a count of one, of two, of three or more


class NgramModel:
    """A model of one order, counted on a text of bytes."""

    def __init__(self, text: npt.NDArray[Any], order: int) -> None:
        """Count `text`, uint8 [N]. `order` is 1 to 8: a byte is predicted from the `order - 1` before it."""
        if not 1 <= order <= LONGEST:
            raise ValueError(f"an order of {order} is not among 1 to {LONGEST}")
        self.order = order
        self._levels: list[_Counts] = []
        for length in range(1, order + 1):
            if length == order:  # how often each occurs
                ngrams, counts = np.unique(_packed(text, length), return_counts=True)
            else:  # how many different bytes come before each
                longer = np.unique(_packed(text, length + 1))
                mask = np.uint64((1 << _BITS * length) - 1)
                ngrams, counts = np.unique(longer & mask, return_counts=True)
            frequencies = np.array([np.count_nonzero(counts == count) for count in (1, 2, 3, 4)])
            self._levels.append(_Counts(ngrams, counts.astype(np.int64), discounts(frequencies)))

    def probabilities(self, context: bytes) -> Floats:
        """How likely each byte is after a context, [256]; of the context the last `order - 1` bytes count."""
        believed: Floats = np.full(BYTES, 1 / BYTES)
        for length, level in enumerate(self._levels, start=1):
            if len(context) < length - 1:
                break
            first = int.from_bytes(context[len(context) - length + 1 :], "big") << _BITS
            begin = int(np.searchsorted(level.ngrams, np.uint64(first)))
            end = int(np.searchsorted(level.ngrams, np.uint64(first + BYTES - 1), side="right"))
            if begin == end:
                break  # nothing longer was seen either
            counts = level.counts[begin:end]
            off = level.taken[np.minimum(counts, 3) - 1]
            whole = counts.sum()
            believed = believed * (off.sum() / whole)
            believed[(level.ngrams[begin:end] & np.uint64(BYTES - 1)).astype(np.int64)] += (counts - off) / whole
        return believed


def _packed(text: npt.NDArray[Any], length: int) -> npt.NDArray[np.uint64]:
    """All n-grams of a length, one after the other, [N - length + 1]."""
    places = max(0, len(text) - length + 1)
    packed = np.zeros(places, dtype=np.uint64)
    for first in range(length if places else 0):
        packed <<= np.uint64(_BITS)
        packed |= text[first : first + places].astype(np.uint64)
    return packed
