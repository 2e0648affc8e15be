"""What counting alone achieves on the validation text: the bar that a trained model has to clear.

The uniform predictor knows nothing, unigram, bigram and trigram models the last zero, one and two tokens, and the best
n-gram model as many as pay: its order is chosen on a part of the training text that it is not counted on, and the
validation text plays no part in it. Where tokens are subwords, the best n-gram model over bytes stands beside it: it
predicts the same text, and a subword of several bytes is as likely as its bytes one after the other. The better of the
two also goes on counting while it reads the validation text, which no model with fixed weights does. All of them are
smoothed by interpolated modified Kneser-Ney (`kneser_ney.py`), the strongest of the classic methods, so that the bar is
not set too low.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import Tokens, even_portions
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.kneser_ney import Predictions, predict
from trickster_engine.data.ngram_counts import Blocks
from trickster_engine.system.files import read_json, write_json_atomically
from trickster_engine.system.json_checksum import seal, unseal
from trickster_engine.system.units import bits_per_byte

# Counting is exact up to here, in bounded memory and about a microsecond a token. A larger training text is
# represented by this many of its tokens, taken in even portions from all of it.
COUNTED_TOKENS = 100_000_000
#: The baselines that are always there. Where a longer context pays, the best n-gram model follows, such as "6-gram".
NAMES = ("uniform", "unigram", "bigram", "trigram")
LONGEST = 8  # n-grams over bytes of this length fit into 64 bits
#: Before the name of an n-gram model over bytes, where tokens are something else.
_BYTES = "byte "
_DYNAMIC = ", dynamic"
_ORDERS = NAMES[1:]
_FEWEST_TOKENS = 1_000  # below, there is nothing to choose an order by
_HELD_BACK = 10  # one part of so many, to choose the order by
_HELD_BACK_TOKENS = 1 << 18  # and no more than this
_BLOCK = 1 << 20  # tokens read at a time
_FILE = "baselines-6-{vocab_size}.json"  # the number changes with the meaning


@dataclass(frozen=True)
class Baseline:
    """How well one predictor does on the validation text."""

    name: str  # uniform | unigram | bigram | trigram | N-gram | byte N-gram; with ", dynamic" where it goes on counting
    nats: float  # mean cross-entropy a token, comparable with the validation loss
    bits_per_byte: float  # comparable between tokenizers

    @property
    def dynamic(self) -> bool:
        """Whether it goes on counting while it reads the validation text."""
        return self.name.endswith(_DYNAMIC)


@dataclass(frozen=True)
class _Alphabet:
    """What n-grams are made of: the tokens themselves, or the bytes that they stand for."""

    prefix: str
    size: int
    read: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

    def blocks(self, tokens: Tokens, end: int) -> Blocks:
        """A text up to a token, to be read as often as need be."""
        return lambda: (
            self.read(np.asarray(tokens[start : min(start + _BLOCK, end)])) for start in range(0, end, _BLOCK)
        )

    def name(self, order: int) -> str:
        """What the model of this order is called."""
        return self.prefix + (_ORDERS[order - 1] if order <= len(_ORDERS) else f"{order}-gram")

    def best_order(self, train: Tokens) -> int:
        """The order that predicts the end of the training text best, counted on the rest."""
        if len(train) < _FEWEST_TOKENS:
            return 1
        cut = len(train) - min(len(train) // _HELD_BACK, _HELD_BACK_TOKENS)
        least, best = math.inf, 1
        models = predict(
            self.blocks(train, cut), self.read(np.asarray(train[cut : len(train)])), self.size, dynamic=False
        )
        for order, model in enumerate(islice(models, LONGEST), start=1):
            loss = model.losses.sum()
            if loss >= least:
                break
            least, best = loss, order
        return best


def measure_baselines(
    train: Tokens,
    val: npt.NDArray[Any],
    vocab_size: int,
    bytes_per_token: float,
    to_bytes: Callable[[npt.NDArray[Any]], bytes] | None = None,
) -> list[Baseline]:
    """Measure the predictors, longest context last, on every token of `val` but its first, as the model is measured.

    `train` and `val` are ids below `vocab_size`, [tokens]; `bytes_per_token` is the validation text's. With
    `to_bytes`, which tells the bytes of tokens, n-grams are counted over bytes too. Unlike a model that reads the text
    window by window, the predictors always see all the tokens before that they can use.
    """
    train = _represented(train)
    alphabet = _of_tokens(vocab_size)
    best = alphabet.best_order(train)
    models = list(islice(predict(alphabet.blocks(train, len(train)), val, vocab_size), max(len(_ORDERS), best)))
    tokens = len(val) - 1
    nats = {name: model.losses.sum() / tokens for name, model in zip(_ORDERS, models, strict=False)}
    nats[alphabet.name(best)] = models[best - 1].losses.sum() / tokens
    dynamic = alphabet.name(best), models[best - 1].dynamic_losses.sum() / tokens
    if to_bytes is not None:
        alphabet = _of_bytes(to_bytes)
        best = alphabet.best_order(train)
        model = _last(alphabet, train, val, best)
        beyond_first = len(alphabet.read(val[:1])) - 1  # its other bytes are no more predicted than a token would be
        losses, dynamic_losses = model.losses[beyond_first:], model.dynamic_losses[beyond_first:]
        if losses.sum() / tokens < nats[dynamic[0]]:
            dynamic = alphabet.name(best), dynamic_losses.sum() / tokens
        nats[alphabet.name(best)] = losses.sum() / tokens
    nats[dynamic[0] + _DYNAMIC] = dynamic[1]
    return _baselines(nats, vocab_size, bytes_per_token)


def predict_by_best_ngram(dataset: Dataset, text: npt.NDArray[Any], vocab_size: int) -> tuple[str, list[Predictions]]:
    """The best n-gram model over tokens: its name, and what it and those of lower order make of a text."""
    ngrams = ngram_baselines(dataset, vocab_size)[1:]
    fixed = [baseline for baseline in ngrams if not baseline.dynamic and not baseline.name.startswith(_BYTES)]
    # What is longer than a trigram is there only because it is the best.
    best = fixed[-1] if len(fixed) > len(_ORDERS) else min(fixed, key=lambda baseline: baseline.nats)
    alphabet = _of_tokens(vocab_size)
    order = next(order for order in range(1, LONGEST + 1) if alphabet.name(order) == best.name)
    train = _represented(dataset.train)
    models = predict(alphabet.blocks(train, len(train)), text, vocab_size, dynamic=False)
    return best.name, list(islice(models, order))


def best_order(train: Tokens, vocab_size: int) -> int:
    """The order whose n-gram model predicts the end of a training text best, counted on the rest."""
    return _of_tokens(vocab_size).best_order(_represented(train))


def ngram_baselines(dataset: Dataset, vocab_size: int | None = None) -> list[Baseline]:
    """Return the baselines of a prepared dataset, counted the first time and kept beside it from then on.

    `vocab_size` is the number of ids that the predictors choose from; left out, it is the tokenizer's.
    """
    if (kept := kept_baselines(dataset, vocab_size)) is not None:
        return kept
    vocab_size = dataset.tokenizer.vocab_size if vocab_size is None else vocab_size
    subwords = dataset.tokenizer.kind == "bpe"
    baselines = measure_baselines(
        dataset.train,
        dataset.measured_val,
        vocab_size,
        dataset.bytes_per_token,
        dataset.tokenizer.to_bytes if subwords else None,
    )
    with contextlib.suppress(OSError):  # a read-only cache costs only the time to count again
        write_json_atomically(
            _path(dataset, vocab_size),
            seal({baseline.name: baseline.nats for baseline in baselines[1:]}, _owner(dataset, vocab_size)),
        )
    return baselines


def kept_baselines(dataset: Dataset, vocab_size: int | None = None) -> list[Baseline] | None:
    """The same where they have been counted already, else None."""
    vocab_size = dataset.tokenizer.vocab_size if vocab_size is None else vocab_size
    with contextlib.suppress(OSError, ValueError, TypeError):  # missing, damaged or edited: counted anew
        kept = unseal(read_json(_path(dataset, vocab_size)), _owner(dataset, vocab_size))
        kept_nats = {str(name): float(value) for name, value in kept.items()}
        if kept_nats.keys() >= set(_ORDERS):
            return _baselines(kept_nats, vocab_size, dataset.bytes_per_token)
    return None


def _of_tokens(vocab_size: int) -> _Alphabet:
    return _Alphabet("", vocab_size, lambda tokens: tokens)


def _of_bytes(to_bytes: Callable[[npt.NDArray[Any]], bytes]) -> _Alphabet:
    return _Alphabet(_BYTES, 256, lambda tokens: np.frombuffer(to_bytes(tokens), dtype=np.uint8))


def _represented(train: Tokens) -> Tokens:
    return train if len(train) <= COUNTED_TOKENS else even_portions(train, COUNTED_TOKENS)


def _last(alphabet: _Alphabet, train: Tokens, val: npt.NDArray[Any], order: int) -> Predictions:
    models = predict(alphabet.blocks(train, len(train)), alphabet.read(val), alphabet.size)
    return next(islice(models, order - 1, None))


def _path(dataset: Dataset, vocab_size: int) -> Path:
    return dataset.directory / _FILE.format(vocab_size=vocab_size)


def _owner(dataset: Dataset, vocab_size: int) -> str:
    return f"{dataset.fingerprint} {vocab_size}"


def uniform_baseline(vocab_size: int, bytes_per_token: float) -> Baseline:
    """The predictor to which all tokens are equally likely."""
    return _baseline(NAMES[0], math.log(vocab_size), bytes_per_token)


def _baselines(counted: Mapping[str, float], vocab_size: int, bytes_per_token: float) -> list[Baseline]:
    ngrams = [_baseline(name, float(nats), bytes_per_token) for name, nats in counted.items()]
    return [uniform_baseline(vocab_size, bytes_per_token), *ngrams]


def _baseline(name: str, nats: float, bytes_per_token: float) -> Baseline:
    return Baseline(name, nats, bits_per_byte(nats, bytes_per_token))
