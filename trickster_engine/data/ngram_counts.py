"""Exact counts of n-grams in a text of any length, in bounded memory: what a prediction of another text needs of them.

An n-gram is packed into 64 bits, or into a string of bytes where that is too few, so that counting is sorting. What is
asked of the counts adds up over different n-grams, so they are counted in parts: all n-grams whose tokens but the first
have a hash in one part, so that the different tokens before the same (n-1)-gram meet there. A text with few different
n-grams is one part; a part that turns out to have too many is divided, and the text is read again for each half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
#: Reads a text [tokens] from its beginning, in blocks.
Blocks = Callable[[], Iterable[Array]]

#: n-grams that are held at a time, with their counts. With what sorting takes, that is half a gigabyte at most.
HELD = 1 << 22
_BITS = 64
_SPREAD = 0x9E3779B97F4A7C15  # an odd number without a pattern (2^64 over the golden ratio)


@dataclass(frozen=True)
class Counts:
    """The n-grams of one length in a training text, as far as they occur in a text of T tokens that is predicted.

    The arrays are by the places [T - n + 1] where an n-gram of that text ends. A count is how often an n-gram occurs,
    or how many different tokens come before it.
    """

    length: int
    frequencies: Ints  # [4]: how many n-grams of the training text have a count of 1, 2, 3, 4
    ngram: Ints  # the count of the n-gram that ends here
    context: Ints  # the sum of the counts of all n-grams that begin as this one does, up to its last token
    followers: Ints  # [3, T - n + 1]: of those, how many have a count of 1, of 2, of 3 or more
    ngram_number: Ints  # the same for the same n-gram
    context_number: Ints  # the same for the same context


def count_orders(train: Blocks, text: Array, vocab_size: int) -> Iterator[tuple[Counts | None, Counts]]:
    """Count n-grams of length 1, 2, 3 … without end; ids are below `vocab_size`.

    Each time: for n-grams one token shorter, how many different tokens come before them (None at first); and how often
    the n-grams occur.
    """
    bits = max(1, (vocab_size - 1).bit_length())
    length = 1
    while True:
        packing = _Packing(bits, length)
        occurring = _Wanted(packing, text, length)
        preceded = _Wanted(packing, text, length - 1) if length > 1 else None
        for keys, counts in _parts(train, packing):
            occurring.add(keys, counts)
            if preceded is not None:
                preceded.add(*_runs(np.sort(packing.without_first(keys))))
        yield preceded.found() if preceded else None, occurring.found()
        length += 1


class _Packing:
    """How n-grams of up to `length` tokens become numbers, or strings, that sort like them."""

    def __init__(self, bits: int, length: int) -> None:
        self.bits, self.length = bits, length
        self.width = 0 if bits * length <= _BITS else (bits + 7) // 8  # bytes of a token in a string; 0: numbers

    def pack(self, tokens: Array, length: int) -> Array:
        """The n-grams of a text one after the other, [len(tokens) - length + 1]."""
        places = max(0, len(tokens) - length + 1)
        if not self.width:
            keys = np.zeros(places, dtype=np.uint64)
            for first in range(length if places else 0):
                keys <<= np.uint64(self.bits)
                keys |= tokens[first : first + places].astype(np.uint64)
            return keys
        if not places or not length:
            return np.zeros(places, dtype=f"S{max(1, self.width * length)}")
        wide = tokens.astype(">u8").view(np.uint8).reshape(-1, 8)[:, -self.width :]
        windows = np.lib.stride_tricks.sliding_window_view(wide, length, axis=0).transpose(0, 2, 1)
        return _as_strings(windows.reshape(places, -1))

    def without_first(self, keys: Array) -> Array:
        """n-grams of the full length without their first token."""
        if self.width:
            return _as_strings(_as_bytes(keys)[:, self.width :])
        shorter: Array = keys & np.uint64((1 << self.bits * (self.length - 1)) - 1)
        return shorter

    def without_last(self, keys: Array) -> Array:
        """n-grams without their last token."""
        return _as_strings(_as_bytes(keys)[:, : -self.width]) if self.width else keys >> np.uint64(self.bits)

    def hashes(self, keys: Array) -> Array:
        """A number for each n-gram of the full length, which does not depend on its first token."""
        shorter = self.without_first(keys)
        if not self.width:
            shorter *= np.uint64(_SPREAD)
            return np.asarray(shorter >> np.uint64(_BITS // 2))
        mixed: Array = np.zeros(len(keys), dtype=np.uint64)
        for column in _as_bytes(shorter).T:
            mixed += column
            mixed *= np.uint64(_SPREAD)
        return np.asarray(mixed >> np.uint64(_BITS // 2))


class _Wanted:
    """The n-grams that end at each place of the text, and what has been found of them so far."""

    def __init__(self, packing: _Packing, text: Array, length: int) -> None:
        self._packing, self._length = packing, length
        keys = packing.pack(text, length)
        self._keys, self._numbers = np.unique(keys, return_inverse=True)
        shorter = packing.without_last(self._keys) if length > 1 else np.zeros(len(self._keys), dtype=np.uint64)
        self._contexts, context_numbers = np.unique(shorter, return_inverse=True)
        self._context_numbers = context_numbers[self._numbers]
        self._frequencies = np.zeros(4, dtype=np.int64)
        self._ngram = np.zeros(len(self._keys), dtype=np.int64)
        self._context = np.zeros(len(self._contexts), dtype=np.int64)
        self._followers = np.zeros((3, len(self._contexts)), dtype=np.int64)

    def add(self, keys: Array, counts: Ints) -> None:
        """Take in different n-grams of the training text, in order, with their counts."""
        if not len(keys) or not len(self._keys):
            return
        self._frequencies += np.bincount(np.minimum(counts, 5), minlength=6)[1:5]
        at = np.minimum(np.searchsorted(keys, self._keys), len(keys) - 1)
        self._ngram += np.where(keys[at] == self._keys, counts[at], 0)
        if self._length == 1:
            begin, end = np.zeros(1, dtype=np.int64), np.full(1, len(keys))
        else:
            contexts = self._packing.without_last(keys)
            begin, end = (np.searchsorted(contexts, self._contexts, side) for side in ("left", "right"))
        self._context += _sums(counts, begin, end)
        for row, values in enumerate((counts == 1, counts == 2, counts >= 3)):
            self._followers[row] += _sums(values, begin, end)

    def found(self) -> Counts:
        """What has been found, place by place."""
        return Counts(
            self._length,
            self._frequencies,
            self._ngram[self._numbers],
            self._context[self._context_numbers],
            self._followers[:, self._context_numbers],
            self._numbers,
            self._context_numbers,
        )


def _parts(train: Blocks, packing: _Packing) -> Iterator[tuple[Array, Ints]]:
    """The different n-grams of the full length, in order, and how often each occurs, part by part."""
    waiting = [(1, 0)]
    while waiting:
        parts, part = waiting.pop()
        counted = _part(train, packing, parts, part)
        if counted is None:
            waiting += [(2 * parts, part + parts), (2 * parts, part)]
        else:
            yield counted


def _part(train: Blocks, packing: _Packing, parts: int, part: int) -> tuple[Array, Ints] | None:
    """The n-grams of one of a power of two of `parts`; None where it has to be divided."""
    held: list[tuple[Array, Ints]] = []
    size = 0
    for tokens in _overlapping(train(), packing.length - 1):
        keys = packing.pack(tokens, packing.length)
        if parts > 1:
            keys = keys[packing.hashes(keys) & np.uint64(parts - 1) == part]
        held.append(_runs(np.sort(keys)))
        size += len(held[-1][0])
        if size > HELD:
            held = [_merged(held)]
            size = len(held[0][0])
            # Dividing ends where the hashes do. Beyond, only a vocabulary that is larger than HELD could come.
            if size > HELD // 2 and parts < 1 << 24:
                return None
    return _merged(held) if held else (packing.pack(np.zeros(0, dtype=np.int64), packing.length), _no_counts())


def _overlapping(blocks: Iterable[Array], overlap: int) -> Iterator[Array]:
    """Blocks that begin with the last tokens of the one before, so that each n-gram lies in one of them."""
    before: Array | None = None
    for block in blocks:
        for start in range(0, len(block), max(1, HELD // 4)):
            piece = block[start : start + max(1, HELD // 4)]
            tokens = piece if before is None else np.concatenate([before, piece])
            yield tokens
            before = tokens[len(tokens) - min(overlap, len(tokens)) :]


def _merged(held: list[tuple[Array, Ints]]) -> tuple[Array, Ints]:
    """Several lists of different n-grams with their counts as one."""
    if len(held) == 1:
        return held[0]
    keys = np.concatenate([keys for keys, _ in held])
    counts = np.concatenate([counts for _, counts in held])
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = _starts(keys)
    return keys[starts], np.add.reduceat(counts, starts) if len(starts) else counts


def _runs(ordered: Array) -> tuple[Array, Ints]:
    """The different ones of keys in order, and how often each occurs."""
    starts = _starts(ordered)
    return ordered[starts], np.diff(starts, append=len(ordered))


def _sums(values: Array, begin: Ints, end: Ints) -> Ints:
    """The sums of ranges of values."""
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return np.asarray(sums[end] - sums[begin])


def _starts(ordered: Array) -> Ints:
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)


def _no_counts() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _as_strings(rows: Array) -> Array:
    """Rows of bytes [N, width] as N strings, which sort like them."""
    rows = np.ascontiguousarray(rows)
    return rows.view(f"S{rows.shape[1]}").reshape(-1)


def _as_bytes(strings: Array) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(strings).view(np.uint8).reshape(len(strings), strings.dtype.itemsize)
