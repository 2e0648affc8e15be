"""n-gram models: interpolated modified Kneser-Ney, of every order at once.

A model of order n predicts a token from the n - 1 tokens before it:

    P(w | h) = (c(h w) - D(c(h w))) / c(h) + (what was taken off, summed over h) / c(h) * P(w | h')

with h' the context without its oldest token, 1 / vocab_size below the unigram, and the shorter context alone after an
h that was never seen. At a model's own order c counts occurrences; below it, c(h w) is the number of different tokens
seen before h w. D takes off one of three amounts, for a count of one, two, or more, estimated from how many n-grams
occur once, twice, three and four times. Source: Chen and Goodman, "An empirical study of smoothing techniques for
language modeling", Computer Speech and Language 13(4), 1999, section 3.

The dynamic model goes on counting while it reads: each token is predicted from the counts of the training text and of
the text up to there (prequential; Dawid, "Statistical theory: the prequential approach", JRSS A 147(2), 1984).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.ngram_counts import Blocks, Counts, count_orders

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What the model of one order makes of `text[1:]`, [T - 1] each; losses in nats."""

    losses: Floats
    dynamic_losses: Floats
    seen: npt.NDArray[np.bool_]  # whether the whole context, all n - 1 tokens, occurs in the training text


def predict(train: Blocks, text: npt.NDArray[Any], vocab_size: int, *, dynamic: bool = True) -> Iterator[Predictions]:
    """What models of order 1, 2, 3 … make of `text[1:]`, without end.

    Both hold ids below `vocab_size`. A token is predicted from all that a model may see before it, `text[0]` included.
    Without `dynamic`, the losses of the dynamic model are those of the other.
    """
    probability = np.full(len(text), 1.0 / vocab_size)  # of the longest context below this order
    on_the_way = probability
    for preceded, occurring in count_orders(train, text, vocab_size):
        growing = _growing(occurring, np.ones(len(occurring.ngram), dtype=bool)) if dynamic else occurring
        if preceded is not None:
            probability = _interpolated(preceded, probability)
            if dynamic:
                first_seen = np.zeros(len(preceded.ngram), dtype=bool)
                first_seen[1:] = growing.ngram == 0  # a token comes before these for the first time
                on_the_way = _interpolated(_growing(preceded, first_seen), on_the_way)
        seen = np.zeros(len(text), dtype=bool)
        seen[occurring.length - 1 :] = occurring.context > 0
        losses = -np.log(_interpolated(occurring, probability)[1:])
        dynamic_losses = -np.log(_interpolated(growing, on_the_way)[1:]) if dynamic else losses
        yield Predictions(losses, dynamic_losses, seen[1:])


def _interpolated(counts: Counts, shorter: Floats) -> Floats:
    """The probability of each token of the text, from counts of n-grams and from shorter contexts."""
    taken = discounts(counts.frequencies)  # [3], or [3, places] where they change on the way
    own: Floats = counts.ngram.astype(np.float64)
    for count, amount in enumerate(taken, start=1):
        own -= np.where(counts.ngram >= 3 if count == 3 else counts.ngram == count, amount, 0.0)
    freed = (taken * counts.followers if taken.ndim > 1 else taken[:, None] * counts.followers).sum(axis=0)
    below = shorter[counts.length - 1 :]
    mixed: Floats = shorter.copy()
    mixed[counts.length - 1 :] = np.where(
        counts.context > 0, (own + freed * below) / np.maximum(counts.context, 1), below
    )
    return mixed


def _growing(counts: Counts, counted: npt.NDArray[np.bool_]) -> Counts:
    """The counts as they stand before each place of the text, where those n-grams of it that are `counted` count too.

    `frequencies` is then [4, places].
    """
    steps = counted.astype(np.int64)
    same_ngram, same_context = _Groups(counts.ngram_number), _Groups(counts.context_number)
    ngram = counts.ngram + same_ngram.sum_before(steps)
    # The n-gram that ends here goes from this count to the next.
    moves = [steps * (np.equal(ngram, count - 1).astype(np.int64) - (ngram == count)) for count in (1, 2, 3, 4)]
    three_or_more = steps * (ngram == 2)
    followers = [same_context.sum_before(move) for move in (*moves[:2], three_or_more)]
    return replace(
        counts,
        frequencies=counts.frequencies[:, None] + [np.cumsum(move) - move for move in moves],
        ngram=ngram,
        context=counts.context + same_context.sum_before(steps),
        followers=counts.followers + followers,
    )


class _Groups:
    """Places of a text by what is the same there."""

    def __init__(self, numbers: Ints) -> None:
        self._order = np.argsort(numbers, kind="stable")
        ordered = numbers[self._order]
        first = np.ones(len(numbers), dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
        self._starts = np.flatnonzero(first)
        self._sizes = np.diff(self._starts, append=len(numbers))

    def sum_before(self, values: Ints) -> Ints:
        """For each place the sum of the values at earlier places of its group."""
        ordered = values[self._order]
        sums = np.cumsum(ordered) - ordered
        before = np.empty_like(sums)
        before[self._order] = sums - np.repeat(sums[self._starts], self._sizes)
        return before


def discounts(frequencies: Ints) -> Floats:
    """What is taken off a count of 1, of 2, and of 3 or more, [3, …]; from how many have a count of 1 to 4, [4, …]."""
    once, twice, thrice, four_times = frequencies.astype(np.float64)
    enough = frequencies.all(axis=0)  # else too little text, or made-up text, to estimate them from
    with np.errstate(divide="ignore", invalid="ignore"):
        share = once / (once + 2 * twice)
        estimates = [
            1 - 2 * share * twice / once,
            2 - 3 * share * thrice / twice,
            3 - 4 * share * four_times / thrice,
        ]
    # Unusual counts can lead outside what makes sense: something has to be taken off, and no more than there is.
    within = [np.clip(estimate, 0.1, count) for count, estimate in enumerate(estimates, start=1)]
    amounts: Floats = np.where(enough, within, 0.5)
    return amounts
