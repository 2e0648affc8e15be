"""Text that an n-gram model writes: what counting alone makes of a corpus, to hold beside what a model writes.

Each byte is drawn as often as it follows the n - 1 bytes before it in the training text, without smoothing: a smoothed
model would write, now and then, what never occurs, which is a worse text. That is the series of approximations to
English of Shannon, "A Mathematical Theory of Communication", Bell System Technical Journal 27, 1948, section 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Bytes of context that fit into a number.
_MOST = 8


class NgramWriter:
    """An n-gram model over bytes, of order 1 to 9, counted on `text`: about 25 bytes of memory for each of its."""

    def __init__(self, text: bytes, order: int) -> None:
        if not text or not 1 <= order <= _MOST + 1:
            raise ValueError("an n-gram model needs a text, and an order from 1 to 9")
        self._context = order - 1
        # The text goes on with its beginning, so that something follows everywhere.
        self._text = np.frombuffer((text + text * (order // len(text) + 1))[: len(text) + order], dtype=np.uint8)
        numbers = np.zeros(len(text), dtype=np.uint64)
        for offset in range(self._context):
            numbers = (numbers << np.uint64(8)) | self._text[offset : offset + len(text)]
        self._places = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._places]

    def write(self, begin: bytes, end: bytes, rows: int, longest: int, seed: int) -> list[bytes]:
        """Write `rows` texts that follow `begin`, each up to the byte `end`, which is left out, or `longest` bytes."""
        chance = np.random.default_rng(seed)
        known = np.tile(np.frombuffer(begin, dtype=np.uint8), (rows, 1))
        written = np.empty((rows, 0), dtype=np.uint8)
        open_rows = np.ones(rows, dtype=bool)
        while written.shape[1] < longest and open_rows.any():
            following = self._following(known, chance.random(rows))
            written = np.concatenate((written, following[:, None]), axis=1)
            known = np.concatenate((known, following[:, None]), axis=1)[:, -max(1, self._context) :]
            open_rows &= following != end[0]
        return [row.tobytes().split(end)[0] for row in written]

    def _following(self, known: npt.NDArray[np.uint8], chance: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """A byte for each row [rows], drawn from those that follow its last bytes."""
        used = min(self._context, known.shape[1])
        numbers = np.zeros(len(known), dtype=np.uint64)
        for column in range(known.shape[1] - used, known.shape[1]):
            numbers = (numbers << np.uint64(8)) | known[:, column]
        # A context that is shorter yet begins a range of the sorted ones.
        missing = self._context - used
        for _ in range(missing):
            numbers = numbers << np.uint64(8)
        last = numbers | np.uint64((1 << 8 * missing) - 1)
        first_at, end_at = np.searchsorted(self._sorted, numbers), np.searchsorted(self._sorted, last, side="right")
        if (first_at == end_at).any():
            raise ValueError("the text does not have what it is to begin with")
        places = self._places[first_at + (chance * (end_at - first_at)).astype(np.int64)]
        return np.asarray(self._text[places + used])
