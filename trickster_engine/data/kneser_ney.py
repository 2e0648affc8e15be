"""n-gram models: interpolated modified Kneser-Ney, of every order at once.

A model of order n predicts a token from the n - 1 tokens before it:

    P(w | h) = (c(h w) - D(c(h w))) / c(h) + (what was taken off, summed over h) / c(h) * P(w | h')

with h' the context without its oldest token, 1 / vocab_size below the unigram, and the shorter context alone after an
h that was never seen. At a model's own order c counts occurrences; below it, c(h w) is the number of different tokens
seen before h w. D takes off one of three amounts, for a count of one, two, or more, estimated from how many n-grams
occur once, twice, three and four times. Source: Chen and Goodman, "An empirical study of smoothing techniques for
language modeling", Computer Speech and Language 13(4), 1999, section 3.

Orders are counted one after the other, and of each only what the next one needs is kept: about 100 bytes a token.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def negative_log_likelihoods(train: Ints, text: Ints, vocab_size: int) -> Iterator[float]:
    """What models of order 1, 2, 3 … make of `text[1:]`: the sum in nats, without end.

    Both hold ids below `vocab_size`. A token is predicted from all that a model may see before it, `text[0]` included.
    """
    order = _Order(train, text, vocab_size)
    probability = np.full(len(text), 1.0 / vocab_size)  # of the longest context below this order
    while True:
        own = order.interpolate(order.counts, probability)
        yield -float(np.log(own[1:]).sum())
        longer = order.next(train, text)
        probability = order.interpolate(longer.different_before, probability)
        order = longer


class _Order:
    """The n-grams of one length: those of the training text, numbered, and where they stand in the text to predict."""

    length: int
    at: Ints
    ends_at: Ints
    counts: Ints

    def __init__(self, train: Ints, text: Ints, vocab_size: int, shorter: _Order | None = None) -> None:
        self._vocab_size = vocab_size
        # An n-gram is the number of the one without its last token, and that token.
        before = shorter.at[: len(train) - shorter.length] if shorter else np.zeros(len(train), dtype=np.int64)
        self.length = shorter.length + 1 if shorter else 1
        keys = before * vocab_size + train[self.length - 1 :]
        self._keys, self.at, self.counts = _number(keys)  # `at`: for each place in the training text, which one begins
        self._contexts = self._keys // vocab_size
        self._number_of_contexts = len(shorter.counts) if shorter else 1
        #: How many different tokens stand before each (n-1)-gram.
        self.different_before: Ints = np.zeros(0, dtype=np.int64)
        if shorter:
            ends = np.empty(len(self._keys), dtype=np.int64)
            ends[self.at] = shorter.at[1:]
            self.different_before = np.bincount(ends, minlength=len(shorter.counts))
        # The same in the text: which n-gram ends at each token, and which context stands before it; -1 where none does.
        self._context_at = np.full(len(text), -1, dtype=np.int64)
        if shorter:
            self._context_at[1:] = shorter.ends_at[:-1]
        else:
            self._context_at[:] = 0
        wanted = np.where(self._context_at < 0, -1, self._context_at * vocab_size + text)
        self.ends_at = _find(self._keys, wanted)

    def next(self, train: Ints, text: Ints) -> _Order:
        """The n-grams that are one token longer."""
        return _Order(train, text, self._vocab_size, self)

    def interpolate(self, counts: Ints, shorter: Floats) -> Floats:
        """The probability of each token of the text, from counts of these n-grams and from shorter contexts."""
        if len(counts) == 0:  # a training text shorter than these n-grams
            return shorter
        taken = np.asarray(discounts(counts))[np.minimum(counts, 3)]
        sizes = np.bincount(self._contexts, counts, self._number_of_contexts)
        freed = np.bincount(self._contexts, taken, self._number_of_contexts)
        own = np.where(self.ends_at < 0, 0.0, (counts - taken)[self.ends_at])
        size = np.where(self._context_at < 0, 0.0, sizes[self._context_at])
        interpolated = (own + freed[self._context_at] * shorter) / np.maximum(size, 1)
        return np.where(size > 0, interpolated, shorter)


def discounts(counts: Ints) -> tuple[float, float, float, float]:
    """What is taken off a count of 0, 1, 2, and 3 or more."""
    once, twice, thrice, four_times = (int(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if not (once and twice and thrice and four_times):  # too little text, or made-up text, to estimate them from
        return 0.0, 0.5, 0.5, 0.5
    share = once / (once + 2 * twice)
    estimates = (1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four_times / thrice)
    # Unusual counts can lead outside what makes sense: something has to be taken off, and no more than there is.
    one, two, more = (min(max(estimate, 0.1), count) for count, estimate in enumerate(estimates, start=1))
    return 0.0, one, two, more


def _number(keys: Ints) -> tuple[Ints, Ints, Ints]:
    """The different keys in order, for each key which of them it is, and how often each occurs."""
    order = np.argsort(keys)
    ordered = keys[order]
    first = np.empty(len(keys), dtype=bool)
    first[:1] = True
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    numbers = np.empty(len(keys), dtype=np.int64)
    numbers[order] = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    return ordered[starts], numbers, np.diff(starts, append=len(keys))


def _find(keys: Ints, wanted: Ints) -> Ints:
    """Where each wanted key stands among the keys, which are sorted; -1 where it does not."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1)
