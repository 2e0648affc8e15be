"""What counting alone achieves on the held-out text: the bar that a trained model has to clear.

Four predictors, each knowing one token more of what came before: uniform (none), unigram, bigram and trigram. The last
three are counted on the training tokens and smoothed by interpolated Witten-Bell, where a context that has been
followed by many different tokens leans more on the shorter context:

    P(w | h) = (c(h w) + T(h) · P(w | h')) / (c(h) + T(h))

with c the counts, T(h) the number of different tokens seen after h, h' the context without its oldest token, and
1 / vocab_size below the unigram. Source: Witten and Bell, "The zero-frequency problem", IEEE Transactions on
Information Theory 37(4), 1991, method C; in this form in Chen and Goodman, "An empirical study of smoothing techniques
for language modeling", 1998, section 2.4.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.cache import write_atomically
from trickster_engine.data.dataset import Dataset

# Counting is done in memory, about 100 bytes a token. A larger training text is represented by this many of its
# tokens, taken in even portions from all of it; the held-out text is always used whole.
COUNTED_TOKENS = 10_000_000
NAMES = ("uniform", "unigram", "bigram", "trigram")
_BLOCK = 1 << 20  # tokens
_FILE = "baselines-1-{vocab_size}.json"  # the number changes with the meaning

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    """How well one predictor does on the held-out text."""

    name: str  # uniform | unigram | bigram | trigram
    nats: float  # mean cross-entropy a token, comparable with the validation loss
    bits_per_character: float  # comparable between tokenizers


def measure_baselines(
    train: npt.NDArray[Any], val: npt.NDArray[Any], vocab_size: int, characters_per_token: float
) -> list[Baseline]:
    """Measure the four predictors, best last, on every token of `val` but its first, as the model is measured.

    `train` and `val` are ids below `vocab_size`, [tokens]; `characters_per_token` is the held-out text's. Unlike a
    model that reads the text window by window, the predictors always see the one or two tokens before.
    """
    levels = _count(_representative(train), vocab_size)
    total = np.zeros(len(levels))
    for start in range(0, len(val) - 1, _BLOCK):
        block = np.asarray(val[max(0, start - 1) : start + 1 + _BLOCK], dtype=np.int64)
        total += _negative_log_likelihoods(levels, block, 1 if start == 0 else 2, vocab_size)
    predicted = len(val) - 1
    nats = [math.log(vocab_size), *(float(value) / predicted for value in total)]
    return [
        Baseline(name, value, value / math.log(2) / characters_per_token)
        for name, value in zip(NAMES, nats, strict=True)
    ]


def ngram_baselines(dataset: Dataset, vocab_size: int | None = None) -> list[Baseline]:
    """Return the baselines of a prepared dataset, counted the first time and kept beside it from then on.

    `vocab_size` is the number of ids that the predictors choose from; left out, it is the tokenizer's.
    """
    vocab_size = dataset.tokenizer.vocab_size if vocab_size is None else vocab_size
    path = dataset.directory / _FILE.format(vocab_size=vocab_size)
    with contextlib.suppress(OSError, ValueError, TypeError):  # missing or damaged: counted anew
        kept = [Baseline(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
        if [baseline.name for baseline in kept] == list(NAMES):
            return kept
    baselines = measure_baselines(dataset.train, dataset.val, vocab_size, dataset.characters_per_token)
    with contextlib.suppress(OSError):  # a read-only cache costs only the time to count again
        write_atomically(path, json.dumps([asdict(baseline) for baseline in baselines]).encode())
    return baselines


@dataclass(frozen=True)
class _Level:
    """Counts of the n-grams of one length. An n-gram is one number: its ids as digits in base vocab_size."""

    ngrams: _Ints  # sorted
    counts: _Ints
    contexts: _Ints  # sorted; the n-grams without their last token
    context_counts: _Ints  # c(h)
    followers: _Ints  # T(h)


def _count(tokens: _Ints, vocab_size: int) -> list[_Level]:
    levels = []
    keys = np.zeros(len(tokens) + 1, dtype=np.int64)  # the one context of length 0, before every token
    for length in range(3):
        keys = keys[:-1] * vocab_size + tokens[length:]
        ngrams, counts = np.unique(keys, return_counts=True)
        contexts, first, followers = np.unique(ngrams // vocab_size, return_index=True, return_counts=True)
        context_counts = np.add.reduceat(counts, first) if len(counts) else counts
        levels.append(_Level(ngrams, counts, contexts, context_counts, followers))
    return levels


def _negative_log_likelihoods(levels: list[_Level], tokens: _Ints, begin: int, vocab_size: int) -> _Floats:
    """Return the sums over tokens[begin:], one for each level; the tokens before are context, [levels]."""
    words = tokens[begin:]
    probability: _Floats = np.full(len(words), 1.0 / vocab_size)
    context = np.zeros(len(words), dtype=np.int64)
    sums = np.zeros(len(levels))
    for length, level in enumerate(levels):
        if length:
            # The first token of a text has nothing before it, the second has one token: -1 is a context never seen.
            older = np.full(len(words), -1, dtype=np.int64)
            available = max(0, length - begin)
            older[available:] = tokens[begin + available - length : len(tokens) - length]
            context = np.where(older < 0, -1, older * vocab_size ** (length - 1) + context)
        counts = _look_up(level.ngrams, level.counts, np.where(context < 0, -1, context * vocab_size + words))
        context_counts = _look_up(level.contexts, level.context_counts, context)
        followers = _look_up(level.contexts, level.followers, context)
        seen = context_counts > 0  # after a context never seen, the shorter one decides alone
        probability = np.where(
            seen, (counts + followers * probability) / np.maximum(context_counts + followers, 1), probability
        )
        sums[length] = -np.log(probability).sum()
    return sums


def _look_up(keys: _Ints, values: _Ints, wanted: _Ints) -> _Ints:
    """Return the values of the wanted keys, 0 for those that are not there."""
    if len(keys) == 0:
        return np.zeros(len(wanted), dtype=np.int64)
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: _Ints = np.where(keys[at] == wanted, values[at], 0)
    return found


def _representative(train: npt.NDArray[Any]) -> _Ints:
    if len(train) <= COUNTED_TOKENS:
        return np.asarray(train, dtype=np.int64)
    portions = COUNTED_TOKENS // _BLOCK
    size = COUNTED_TOKENS // portions
    starts = [portion * (len(train) - size) // (portions - 1) for portion in range(portions)]
    return np.concatenate([np.asarray(train[start : start + size], dtype=np.int64) for start in starts])
