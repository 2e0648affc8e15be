"""Windows of tokens, in an order that is a function of the step alone: resuming needs nothing but the step number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from trickster_engine.errors import TricksterError

Tokens = npt.NDArray[np.unsignedinteger] | npt.NDArray[np.signedinteger]
Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class TrainingBatches:
    """Shuffled, non-overlapping windows of the training tokens, epoch after epoch.

    In epoch e the text is cut into windows of `sequence_length` from a random offset, and the windows are dealt in a
    random order, each exactly once; both follow from (seed, e). Sample number i of the run is therefore fixed for
    good, and any batch can be made without making the ones before it.
    """

    def __init__(self, tokens: Tokens, sequence_length: int, batch_size: int, seed: int) -> None:
        if len(tokens) < sequence_length + 1:
            raise too_short(len(tokens), sequence_length)
        self._tokens = tokens
        self._sequence_length = sequence_length
        self._batch_size = batch_size
        self._seed = seed
        # One window fewer than would fit leaves room for the offset to take every value.
        self.windows_per_epoch = max(1, (len(tokens) - 1) // sequence_length - 1)
        self._largest_offset = min(sequence_length - 1, len(tokens) - 1 - self.windows_per_epoch * sequence_length)
        self._starts_of: dict[int, npt.NDArray[np.int64]] = {}

    def batch(self, step: int, micro_batch: int = 0, accumulation: int = 1) -> Batch:
        """Return inputs and targets, int64 [batch_size, sequence_length] each; targets are inputs one token later.

        `step` counts from 0; a step has `accumulation` micro-batches, `micro_batch` being one of 0..accumulation-1.
        """
        first = (step * accumulation + micro_batch) * self._batch_size
        length = self._sequence_length
        x = np.empty((self._batch_size, length), dtype=np.int64)
        y = np.empty((self._batch_size, length), dtype=np.int64)
        for row in range(self._batch_size):
            epoch, index = divmod(first + row, self.windows_per_epoch)
            start = int(self._starts(epoch)[index])
            x[row] = self._tokens[start : start + length]
            y[row] = self._tokens[start + 1 : start + 1 + length]
        return x, y

    def epoch_at(self, step: int, accumulation: int = 1) -> float:
        """Return how many times the training text has been seen when `step` steps are done."""
        return step * accumulation * self._batch_size / self.windows_per_epoch

    def _starts(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return where the windows of an epoch begin, in the order they are dealt, int64 [windows_per_epoch]."""
        starts = self._starts_of.get(epoch)
        if starts is None:
            # Raw PCG64 output, sorted: NumPy guarantees that stream for good, which it does not for `permutation`.
            raw = np.random.PCG64(np.random.SeedSequence([self._seed, epoch])).random_raw(self.windows_per_epoch + 1)
            offset = int(raw[0]) % (self._largest_offset + 1)
            starts = np.argsort(raw[1:], kind="stable").astype(np.int64)
            starts *= self._sequence_length
            starts += offset
            # A batch may begin in one epoch and end in the next; older epochs are not asked for again.
            self._starts_of = {known: value for known, value in self._starts_of.items() if known == epoch - 1}
            self._starts_of[epoch] = starts
        return starts


def validation_windows(tokens: Tokens, sequence_length: int, batch_size: int) -> Iterator[Batch]:
    """Yield windows one after another, so that every token but the first is predicted exactly once.

    Inputs and targets are int64 [rows, length]: up to `batch_size` full windows at a time, then the short rest, if
    any, as one row. Weigh each batch's mean by `y.size`, and the result does not depend on `batch_size`.
    Raises TricksterError `corpus-too-short` when there is nothing to predict.
    """
    if len(tokens) < 2:
        raise too_short(len(tokens), 1)
    full = (len(tokens) - 1) // sequence_length
    for first in range(0, full, batch_size):
        rows = min(batch_size, full - first)
        begin, end = first * sequence_length, (first + rows) * sequence_length
        x = np.array(tokens[begin:end], dtype=np.int64).reshape(rows, sequence_length)
        y = np.array(tokens[begin + 1 : end + 1], dtype=np.int64).reshape(rows, sequence_length)
        yield x, y
    rest = full * sequence_length
    if rest < len(tokens) - 1:
        yield (
            np.array(tokens[rest:-1], dtype=np.int64).reshape(1, -1),
            np.array(tokens[rest + 1 :], dtype=np.int64).reshape(1, -1),
        )


def evenly_spaced_windows(tokens: Tokens, sequence_length: int, count: int) -> Batch:
    """Return up to `count` windows spread evenly over the tokens, int64 [rows, sequence_length]: a fixed probe.

    The windows do not overlap; there are fewer where fewer fit. Raises TricksterError `corpus-too-short`.
    """
    full = (len(tokens) - 1) // sequence_length
    if full < 1:
        raise too_short(len(tokens), sequence_length)
    rows = min(count, full)
    starts = [(row * full // rows) * sequence_length for row in range(rows)]
    x = np.stack([np.asarray(tokens[start : start + sequence_length], dtype=np.int64) for start in starts])
    y = np.stack([np.asarray(tokens[start + 1 : start + 1 + sequence_length], dtype=np.int64) for start in starts])
    return x, y


def too_short(tokens: int, sequence_length: int, part: str = "training") -> TricksterError:
    """Return the error for a text that does not hold one sequence."""
    return TricksterError(
        "corpus-too-short",
        f"The {part} text has {tokens:,} tokens; one sequence needs {sequence_length + 1:,}"
        f" ({sequence_length:,} and the one that follows).",
        "Add text, or lower model_config.max_seq_len.",
    )
