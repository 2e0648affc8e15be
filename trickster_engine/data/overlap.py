"""How much of a text is said twice: by hashes of all windows of it, in bounded memory.

A window is WINDOW bytes of UTF-8 that follow one another, at every position. Passages that long hardly ever come twice
by chance; copies of a document, a shared header or the same file on both sides of a split do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

WINDOW = 50  # bytes
#: So many hashes of a text are kept at most, 8 bytes each, to find its repetitions.
_KEPT_HASHES = 1 << 21
_TABLE_BITS = 22
_BLOCK = 1 << 20  # bytes hashed at a time

_Hashes = npt.NDArray[np.uint64]
_Bytes = npt.NDArray[np.uint8]

# A polynomial in an odd base modulo 2**64, over random values of the bytes, then mixed: numbers drawn once.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 1 << 64)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_VALUES: _Hashes = np.random.PCG64(2024).random_raw(256).astype(np.uint64)


def _powers(base: int, count: int) -> _Hashes:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)


_POWERS, _INVERSES = _powers(_BASE, _BLOCK + WINDOW), _powers(_INVERSE, _BLOCK + WINDOW)


def window_hashes(data: _Bytes, window: int) -> _Hashes:
    """Return a hash of each `window` bytes in a row, [bytes - window + 1]; `data` is at most a block and a window."""
    count = len(data) - window + 1
    if count < 1:
        return np.empty(0, np.uint64)
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    np.cumsum(_VALUES[data] * _POWERS[: len(data)], out=sums[1:])
    hashes: _Hashes = (sums[window:] - sums[:count]) * _INVERSES[:count]
    hashes ^= hashes >> np.uint64(31)
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(30)
    return hashes


def all_hashes(pieces: Iterable[bytes], window: int) -> Iterator[_Hashes]:
    """Yield the hashes of a text that comes in pieces, those of windows across two pieces as well."""
    held = b""
    for piece in pieces:
        for start in range(0, len(piece), _BLOCK - window):
            held += piece[start : start + _BLOCK - window]
            yield window_hashes(np.frombuffer(held, np.uint8), window)
            held = held[-(window - 1) :] if window > 1 else b""


class Repetition:
    """Counts the windows of a text that have come before, in a text of about `size` bytes."""

    def __init__(self, size: int) -> None:
        # Of a large text every k-th different window is counted, wherever it comes: the share stays what it is.
        self._limit = np.uint64(((1 << 64) - 1) // max(1, -(-size // _KEPT_HASHES)))
        self._kept: list[_Hashes] = []

    def add(self, hashes: _Hashes) -> None:
        """Note some of the text."""
        self._kept.append(hashes[hashes <= self._limit])

    @property
    def share(self) -> float:
        """The share of windows that have come before."""
        kept = np.sort(np.concatenate(self._kept)) if self._kept else np.empty(0, np.uint64)
        return float(np.count_nonzero(kept[1:] == kept[:-1]) / len(kept)) if len(kept) else 0.0


class Overlap:
    """Counts the windows of one text, given first, that another text has as well."""

    def __init__(self, hashes: _Hashes) -> None:
        self._different, self._number = np.unique(hashes, return_inverse=True)
        self._found = np.zeros(len(self._different), dtype=bool)
        # Most windows of the other text are not among these, and one look into a table says so.
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._table[self._slots(self._different)] = True

    def add(self, hashes: _Hashes) -> None:
        """Note some of the other text."""
        if not len(self._different):
            return
        candidates = hashes[self._table[self._slots(hashes)]]
        at = np.minimum(np.searchsorted(self._different, candidates), len(self._different) - 1)
        self._found[at[self._different[at] == candidates]] = True

    @property
    def share(self) -> float:
        """The share of the first text's windows that the other has."""
        return float(self._found[self._number].mean()) if len(self._number) else 0.0

    @staticmethod
    def _slots(hashes: _Hashes) -> npt.NDArray[np.intp]:
        slots: npt.NDArray[np.intp] = (hashes >> np.uint64(64 - _TABLE_BITS)).astype(np.intp)
        return slots
