"""What counting alone achieves on the validation text: the bar that a trained model has to clear.

The uniform predictor knows nothing, unigram, bigram and trigram models the last zero, one and two tokens, and the best
n-gram model as many as pay: its order is chosen on a part of the training text that it is not counted on, and the
validation text plays no part in it. All of them are smoothed by interpolated modified Kneser-Ney (`kneser_ney.py`), the
strongest of the classic methods, so that the bar is not set too low.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import Tokens, even_portions
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.kneser_ney import negative_log_likelihoods
from trickster_engine.system.files import read_json, write_json_atomically
from trickster_engine.system.json_checksum import seal, unseal

# Counting is done in memory, about 100 bytes a token. A larger training text is represented by this many of its tokens,
# taken in even portions from all of it.
COUNTED_TOKENS = 4_000_000
#: The baselines that are always there. Where a longer context pays, the best n-gram model follows, such as "6-gram".
NAMES = ("uniform", "unigram", "bigram", "trigram")
LONGEST = 8
_ORDERS = NAMES[1:]
_FEWEST_TOKENS = 1_000  # below, there is nothing to choose an order by
_HELD_BACK = 10  # one part of so many
_FILE = "baselines-5-{vocab_size}.json"  # the number changes with the meaning


@dataclass(frozen=True)
class Baseline:
    """How well one predictor does on the validation text."""

    name: str  # uniform | unigram | bigram | trigram | N-gram
    nats: float  # mean cross-entropy a token, comparable with the validation loss
    bits_per_character: float  # comparable between tokenizers


def measure_baselines(
    train: Tokens, val: npt.NDArray[Any], vocab_size: int, characters_per_token: float
) -> list[Baseline]:
    """Measure the predictors, longest context last, on every token of `val` but its first, as the model is measured.

    `train` and `val` are ids below `vocab_size`, [tokens]; `characters_per_token` is the validation text's. Unlike a
    model that reads the text window by window, the predictors always see all the tokens before that they can use.
    """
    counted = np.asarray(even_portions(train, COUNTED_TOKENS), dtype=np.int64)
    text = np.asarray(val, dtype=np.int64)
    order = max(len(NAMES) - 1, best_order(counted, vocab_size))
    sums = list(islice(negative_log_likelihoods(counted, text, vocab_size), order))
    nats = {name: value / (len(text) - 1) for name, value in zip(_ORDERS, sums, strict=False)}
    if order >= len(NAMES):
        nats[f"{order}-gram"] = sums[-1] / (len(text) - 1)
    return _baselines(nats, vocab_size, characters_per_token)


def best_order(train: npt.NDArray[np.int64], vocab_size: int) -> int:
    """The order of the n-gram model that predicts the last tenth of the training text best, counted on the rest."""
    cut = len(train) - len(train) // _HELD_BACK
    if len(train) < _FEWEST_TOKENS:
        return 1
    least, best = math.inf, 1
    sums = negative_log_likelihoods(train[:cut], train[cut:], vocab_size)
    for order, value in enumerate(islice(sums, LONGEST), start=1):
        if value >= least:
            break
        least, best = value, order
    return best


def ngram_baselines(dataset: Dataset, vocab_size: int | None = None) -> list[Baseline]:
    """Return the baselines of a prepared dataset, counted the first time and kept beside it from then on.

    `vocab_size` is the number of ids that the predictors choose from; left out, it is the tokenizer's.
    """
    vocab_size = dataset.tokenizer.vocab_size if vocab_size is None else vocab_size
    path = dataset.directory / _FILE.format(vocab_size=vocab_size)
    owner = f"{dataset.fingerprint} {vocab_size}"
    with contextlib.suppress(OSError, ValueError, TypeError):  # missing, damaged or edited: counted anew
        kept = unseal(read_json(path), owner)
        kept_nats = {str(name): float(value) for name, value in kept.items()}
        if kept_nats.keys() >= set(_ORDERS):
            return _baselines(kept_nats, vocab_size, dataset.characters_per_token)
    baselines = measure_baselines(dataset.train, dataset.measured_val, vocab_size, dataset.characters_per_token)
    with contextlib.suppress(OSError):  # a read-only cache costs only the time to count again
        write_json_atomically(path, seal({baseline.name: baseline.nats for baseline in baselines[1:]}, owner))
    return baselines


def _baselines(counted: Mapping[str, float], vocab_size: int, characters_per_token: float) -> list[Baseline]:
    nats = {NAMES[0]: math.log(vocab_size), **counted}
    return [Baseline(name, value, value / math.log(2) / characters_per_token) for name, value in nats.items()]
