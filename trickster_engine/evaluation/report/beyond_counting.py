"""Where a model predicts better than the best n-gram model, and where worse, token by token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trickster_engine.data.baselines import predict_by_best_ngram
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.compare import strided_losses
from trickster_engine.evaluation.report.difficulty import LOOKED_AT
from trickster_engine.model.llama import Llama

Floats = npt.NDArray[np.float64]

#: Tokens of context that are shown before a token, and how many places of each kind.
SHOWN_BEFORE = 48
SHOWN = 8
#: Tokens between two places that are shown: one surprise makes the next ones surprising.
_APART = 24


@dataclass(frozen=True)
class Place:
    """A token of the validation text and its losses in nats. `seen` tokens before it occur in the training text."""

    before: str
    token: str
    seen: int
    ngram: float
    model: float


@dataclass(frozen=True)
class Familiarity:
    """The tokens whose longest context known from the training text, up to the n-gram's, has a length of `seen`."""

    seen: int
    share: float  # of all tokens, 0..1
    ngram: float  # mean losses, in nats/token
    model: float


@dataclass(frozen=True)
class BeyondCounting:
    """A model beside the best n-gram, on the beginning of the validation text; losses in nats/token.

    The model is measured strided, since the counts see their whole context too.
    """

    ngram: str
    tokens: int
    ngram_mean: float
    model_mean: float
    ahead: float  # share of tokens that the model finds likelier, 0..1
    by_familiarity: list[Familiarity]  # the least known first
    wins: list[Place]  # the largest difference first
    losses: list[Place]


def find_beyond_counting(model: Llama, tokenizer: Tokenizer, dataset: Dataset) -> BeyondCounting:
    """Compare token by token, on the first `LOOKED_AT` tokens of the validation text."""
    tokens = np.asarray(dataset.val[: LOOKED_AT + 1])
    name, orders = predict_by_best_ngram(dataset, tokens, model.config.vocab_size)
    counted, own = orders[-1].losses, strided_losses(model, tokens)
    # A context that occurs in the training text has only shorter ones that do.
    seen = np.sum([order.seen for order in orders[1:]], axis=0, dtype=np.int64) + np.zeros(len(own), dtype=np.int64)
    ahead = counted - own

    def places(ranked: npt.NDArray[np.int64]) -> list[Place]:
        chosen: list[int] = []
        for at in ranked.tolist():
            if len(chosen) == SHOWN:
                break
            if all(abs(at - other) >= _APART for other in chosen):
                chosen.append(at)
        return [
            Place(
                before=tokenizer.decode_documents(tokens[max(0, at + 1 - SHOWN_BEFORE) : at + 1].tolist()),
                token=tokenizer.piece(int(tokens[at + 1])),
                seen=int(seen[at]),
                ngram=float(counted[at]),
                model=float(own[at]),
            )
            for at in chosen
        ]

    by_gain = np.argsort(-ahead, kind="stable")
    return BeyondCounting(
        ngram=name,
        tokens=len(own),
        ngram_mean=float(counted.mean()),
        model_mean=float(own.mean()),
        ahead=float(np.mean(ahead > 0)),
        by_familiarity=[
            Familiarity(length, float(there.mean()), float(counted[there].mean()), float(own[there].mean()))
            for length in range(len(orders))
            if (there := seen == length).any()
        ],
        wins=places(by_gain[ahead[by_gain] > 0]),
        losses=places(by_gain[::-1][ahead[by_gain[::-1]] < 0]),
    )
