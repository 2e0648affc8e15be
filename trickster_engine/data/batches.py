"""Windows of tokens, in an order that is a function of the step alone: resuming needs nothing but the step number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from trickster_engine.config.plan import Plan
from trickster_engine.data.amounts import windows_per_epoch
from trickster_engine.data.permutation import Permutation
from trickster_engine.errors import TricksterError


class Tokens(Protocol):
    """Token ids [tokens]: an array, or the shards of a text that is larger than memory."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, span: slice, /) -> npt.NDArray[Any]:
        """Those from span.start to before span.stop, as an array."""


Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

# An epoch of up to this many windows is shuffled as a list (16 bytes a window, for two epochs at most); a longer one by
# a formula, in no memory at all. Both orders are fixed for good, and so is where the one gives way to the other.
LISTED_WINDOWS = 1 << 20
_REPLACING = 1  # tells the draws of replaced inputs from those of an epoch's order
_PORTION = 1 << 13  # tokens in a row where a text is represented by a part of it


class TrainingBatches:
    """Shuffled, non-overlapping windows of the training tokens, epoch after epoch.

    In epoch e the text is cut into windows of `sequence_length` from a random offset, and the windows are dealt in a
    random order, each exactly once; both follow from (seed, e). Sample number i of the run is therefore fixed for
    good, and any batch can be made without making the ones before it, by any number of processes, and without reading
    anything but its own windows.
    """

    def __init__(
        self,
        tokens: Tokens,
        sequence_length: int,
        batch_size: int,
        seed: int,
        replaced: float = 0.0,
        vocab_size: int = 0,
        document_end: int | None = None,
    ) -> None:
        """About a fraction `replaced` of the inputs are tokens drawn from the vocabulary instead of the text's.

        `document_end`, the token that ends a document, is neither replaced nor drawn.
        """
        if len(tokens) < sequence_length + 1:
            raise too_short(len(tokens), sequence_length)
        self._tokens = tokens
        self._sequence_length = sequence_length
        self._batch_size = batch_size
        self._seed = seed
        self._replaced_below = np.uint64(replaced * 2.0**64)
        self._vocab_size = vocab_size
        self._document_end = document_end
        self.windows_per_epoch = windows_per_epoch(len(tokens), sequence_length)
        self._largest_offset = min(sequence_length - 1, len(tokens) - 1 - self.windows_per_epoch * sequence_length)
        self._order_of: dict[int, tuple[int, npt.NDArray[np.int64] | Permutation]] = {}

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
            offset, order = self._order(epoch)
            start = offset + int(order[index]) * length
            window = self._tokens[start : start + length + 1]
            x[row] = window[:-1]
            y[row] = window[1:]
            if self._replaced_below:
                self._replace(x[row], first + row)
        return x, y

    def _replace(self, inputs: npt.NDArray[np.int64], number: int) -> None:
        """Replace some inputs [T] of sample `number`: which, and by what, follows from (seed, number) alone."""
        generator = np.random.PCG64(np.random.SeedSequence([self._seed, number, _REPLACING]))
        draws, others = generator.random_raw(2 * len(inputs)).reshape(2, -1)
        others = (others % np.uint64(self._vocab_size)).astype(np.int64)
        chosen = draws < self._replaced_below
        chosen[0] = False  # a teacher reads it, and no target tells what it was
        if self._document_end is not None:
            chosen &= (inputs != self._document_end) & (others != self._document_end)
        inputs[chosen] = others[chosen]

    def _order(self, epoch: int) -> tuple[int, npt.NDArray[np.int64] | Permutation]:
        """Return where the first window of an epoch begins, and the windows' numbers in the order they are dealt."""
        known = self._order_of.get(epoch)
        if known is None:
            listed = self.windows_per_epoch <= LISTED_WINDOWS
            # Raw PCG64 output, sorted: NumPy guarantees that stream for good, which it does not for `permutation`.
            generator = np.random.PCG64(np.random.SeedSequence([self._seed, epoch]))
            raw = generator.random_raw(self.windows_per_epoch + 1 if listed else 2)
            offset = int(raw[0]) % (self._largest_offset + 1)
            order = (
                np.argsort(raw[1:], kind="stable").astype(np.int64)
                if listed
                else Permutation(self.windows_per_epoch, int(raw[1]))
            )
            known = offset, order
            # A batch may begin in one epoch and end in the next; older epochs are not asked for again.
            self._order_of = {number: value for number, value in self._order_of.items() if number == epoch - 1}
            self._order_of[epoch] = known
        return known


def training_batches(plan: Plan, tokens: Tokens, vocab_size: int, document_end: int | None = None) -> TrainingBatches:
    """The batches that a plan trains on; `vocab_size` is the tokenizer's. Raises TricksterError `corpus-too-short`."""
    training, model = plan.training, plan.model
    window = model.max_seq_len, training.batch_size, training.seed
    return TrainingBatches(tokens, *window, training.replace_inputs, vocab_size, document_end)


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


def strided_windows(tokens: Tokens, sequence_length: int, batch_size: int) -> Iterator[tuple[Batch, int]]:
    """Yield overlapping windows, half a window apart, and how many targets of each were in the window before.

    With those left out, every token but the first is predicted exactly once, and all but those of the first window from
    at least half a window of context: strided evaluation, also called a sliding window. Inputs and targets are int64
    [rows, length]; the first window comes alone, and so does the last, which may be cut at its beginning by more or
    fewer. Raises TricksterError `corpus-too-short` when there is nothing to predict.
    """
    predicted = len(tokens) - 1
    if predicted < 1:
        raise too_short(len(tokens), 1)
    stride = max(1, sequence_length // 2)

    def windows(starts: Sequence[int], length: int) -> Batch:
        rows = [np.asarray(tokens[start : start + length + 1], dtype=np.int64) for start in starts]
        return np.stack([row[:-1] for row in rows]), np.stack([row[1:] for row in rows])

    yield windows([0], min(sequence_length, predicted)), 0
    starts = range(stride, predicted - sequence_length + 1, stride)
    for first in range(0, len(starts), batch_size):
        yield windows(starts[first : first + batch_size], sequence_length), sequence_length - stride
    done = (starts[-1] if starts else 0) + sequence_length
    if done < predicted:
        last = predicted - sequence_length
        yield windows([last], sequence_length), done - last


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


def even_portions(tokens: Tokens, count: int) -> npt.NDArray[Any]:
    """Return a text's tokens, or about `count` of them in portions spread evenly over a longer one, in order."""
    if len(tokens) <= count:
        return np.asarray(tokens[:])
    portions = max(2, count // _PORTION)
    size = max(1, count // portions)
    starts = [portion * (len(tokens) - size) // (portions - 1) for portion in range(portions)]
    return np.concatenate([tokens[start : start + size] for start in starts])


def too_short(tokens: int, sequence_length: int, part: str = "training") -> TricksterError:
    """Return the error for a text that does not hold one sequence."""
    return TricksterError(
        "corpus-too-short",
        f"The {part} text has {tokens:,} tokens; one sequence needs {sequence_length + 1:,} ({sequence_length:,} and "
        "the next one).",
        "Add text, or lower model_config.max_seq_len.",
    )
