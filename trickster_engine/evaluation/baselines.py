"""What counting alone achieves on the validation text: the bar that a trained model has to clear.

Four predictors, each knowing one token more of what came before: uniform (none), unigram, bigram and trigram. The last
three are counted on the training tokens and smoothed by interpolated modified Kneser-Ney, the strongest of the classic
methods, so that the bar is not set too low:

    P(w | h) = (c(h w) - D(c(h w))) / c(h) + (what was taken off, summed over h) / c(h) · P(w | h')

with h' the context without its oldest token, 1 / vocab_size below the unigram, and the shorter context alone after an
h that was never seen. c counts occurrences at a predictor's own length; below it, c(h w) is the number of different
tokens seen before h w. D takes off one of three amounts, for a count of one, two, or more, estimated from how many
n-grams occur once, twice, three and four times. Source: Chen and Goodman, "An empirical study of smoothing techniques
for language modeling", Computer Speech and Language 13(4), 1999, section 3.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import Tokens, even_portions
from trickster_engine.data.dataset import Dataset
from trickster_engine.system.files import read_json, write_json_atomically
from trickster_engine.system.json_checksum import seal, unseal

# Counting is done in memory, about 80 bytes a token. A larger training text is represented by this many of its tokens,
# taken in even portions from all of it.
COUNTED_TOKENS = 4_000_000
NAMES = ("uniform", "unigram", "bigram", "trigram")
_BLOCK = 1 << 20  # tokens
_FILE = "baselines-4-{vocab_size}.json"  # the number changes with the meaning

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """How well one predictor does on the validation text."""

    name: str  # uniform | unigram | bigram | trigram
    nats: float  # mean cross-entropy a token, comparable with the validation loss
    bits_per_character: float  # comparable between tokenizers


def measure_baselines(
    train: Tokens, val: npt.NDArray[Any], vocab_size: int, characters_per_token: float
) -> list[Baseline]:
    """Measure the four predictors, best last, on every token of `val` but its first, as the model is measured.

    `train` and `val` are ids below `vocab_size`, [tokens]; `characters_per_token` is the validation text's. Unlike a
    model that reads the text window by window, the predictors always see the one or two tokens before.
    """
    predictors = _count(np.asarray(even_portions(train, COUNTED_TOKENS), dtype=np.int64), vocab_size)
    total = np.zeros(len(predictors))
    for start in range(0, len(val) - 1, _BLOCK):
        # Two tokens before the block's own are context.
        block = np.asarray(val[max(0, start - 1) : start + 1 + _BLOCK], dtype=np.int64)
        begin = 1 if start == 0 else 2
        total += [_negative_log_likelihood(levels, block, begin, vocab_size) for levels in predictors]
    predicted = len(val) - 1
    nats = [float(value) / predicted for value in total]
    return _baselines(nats, vocab_size, characters_per_token)


def ngram_baselines(dataset: Dataset, vocab_size: int | None = None) -> list[Baseline]:
    """Return the baselines of a prepared dataset, counted the first time and kept beside it from then on.

    `vocab_size` is the number of ids that the predictors choose from; left out, it is the tokenizer's.
    """
    vocab_size = dataset.tokenizer.vocab_size if vocab_size is None else vocab_size
    path = dataset.directory / _FILE.format(vocab_size=vocab_size)
    owner = f"{dataset.fingerprint} {vocab_size}"
    with contextlib.suppress(OSError, ValueError, TypeError):  # missing, damaged or edited: counted anew
        kept = unseal(read_json(path), owner)
        return _baselines([float(kept[name]) for name in NAMES[1:]], vocab_size, dataset.characters_per_token)
    baselines = measure_baselines(dataset.train, dataset.measured_val, vocab_size, dataset.characters_per_token)
    with contextlib.suppress(OSError):  # a read-only cache costs only the time to count again
        write_json_atomically(path, seal({baseline.name: baseline.nats for baseline in baselines[1:]}, owner))
    return baselines


def _baselines(counted: list[float], vocab_size: int, characters_per_token: float) -> list[Baseline]:
    """The baselines, from what was counted: nats of the unigram, bigram and trigram."""
    nats = [math.log(vocab_size), *counted]
    return [
        Baseline(name, value, value / math.log(2) / characters_per_token)
        for name, value in zip(NAMES, nats, strict=True)
    ]


@dataclass(frozen=True)
class _Level:
    """What is known about the n-grams of one length. An n-gram is one number: its ids as digits in base vocab_size."""

    ngrams: _Ints  # sorted
    discounted: _Floats  # c(h w) - D(c(h w))
    contexts: _Ints  # sorted; the n-grams without their last token
    context_counts: _Floats  # c(h)
    taken_off: _Floats  # the discounts, summed over h


def _count(tokens: _Ints, vocab_size: int) -> list[list[_Level]]:
    """Return the levels of the unigram, bigram and trigram predictors, shortest context first."""
    predictors: list[list[_Level]] = []
    lower: list[_Level] = []
    ngrams = np.zeros(len(tokens) + 1, dtype=np.int64)  # the one n-gram of length 0, before every token
    for length in range(3):
        ngrams = ngrams[:-1] * vocab_size + tokens[length:]
        different, counts = np.unique(ngrams, return_counts=True)
        if length:  # each different n-gram is one different token before its end
            ends = np.unique(different % vocab_size**length, return_counts=True)
            lower = [*lower, _level(*ends, vocab_size)]
        predictors.append([*lower, _level(different, counts, vocab_size)])
    return predictors


def _level(ngrams: _Ints, counts: _Ints, vocab_size: int) -> _Level:
    discounts = np.asarray(_discounts(counts))[np.minimum(counts, 3)]
    contexts, first = np.unique(ngrams // vocab_size, return_index=True)
    if len(contexts) == 0:  # a text shorter than the n-grams
        empty = np.zeros(0)
        return _Level(ngrams, empty, contexts, empty, empty)
    return _Level(
        ngrams, counts - discounts, contexts, np.add.reduceat(counts, first) * 1.0, np.add.reduceat(discounts, first)
    )


def _discounts(counts: _Ints) -> tuple[float, float, float, float]:
    """Return what is taken off a count of 0, 1, 2, and 3 or more."""
    once, twice, thrice, four_times = (int(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if not (once and twice and thrice and four_times):  # too little text, or made-up text, to estimate them from
        return 0.0, 0.5, 0.5, 0.5
    share = once / (once + 2 * twice)
    estimates = (1 - 2 * share * twice / once, 2 - 3 * share * thrice / twice, 3 - 4 * share * four_times / thrice)
    # Unusual counts can lead outside what makes sense: something has to be taken off, and no more than there is.
    one, two, more = (min(max(estimate, 0.1), count) for count, estimate in enumerate(estimates, start=1))
    return 0.0, one, two, more


def _negative_log_likelihood(levels: list[_Level], tokens: _Ints, begin: int, vocab_size: int) -> float:
    """Return the sum over tokens[begin:], in nats; the tokens before are context."""
    words = tokens[begin:]
    probability: _Floats = np.full(len(words), 1.0 / vocab_size)
    context = np.zeros(len(words), dtype=np.int64)
    for length, level in enumerate(levels):
        if length:
            # The first tokens of a text have less before them: -1 is a context never seen.
            older = np.full(len(words), -1, dtype=np.int64)
            available = max(0, length - begin)
            older[available:] = tokens[begin + available - length : len(tokens) - length]
            context = np.where((older < 0) | (context < 0), -1, older * vocab_size ** (length - 1) + context)
        ngrams = np.where(context < 0, -1, context * vocab_size + words)
        context_counts = _look_up(level.contexts, level.context_counts, context)
        own = _look_up(level.ngrams, level.discounted, ngrams)
        taken_off = _look_up(level.contexts, level.taken_off, context)
        interpolated = (own + taken_off * probability) / np.maximum(context_counts, 1)
        probability = np.where(context_counts > 0, interpolated, probability)
    return -float(np.log(probability).sum())


def _look_up(keys: _Ints, values: _Floats, wanted: _Ints) -> _Floats:
    """Return the values of the wanted keys, 0 for those that are not there."""
    if len(keys) == 0:
        return np.zeros(len(wanted))
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: _Floats = np.where(keys[at] == wanted, values[at], 0.0)
    return found
