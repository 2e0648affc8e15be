"""What people read for the names that JSON has: baselines, and the models and texts that are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Title and meaning. Of the baselines, the n-grams have Kneser-Ney smoothing.
_WORDS = {
    "uniform": ("uniform (ln V)", "every token equally likely"),
    "unigram": ("unigram", "how often each token occurs"),
    "bigram": ("bigram", "what follows each token"),
    "trigram": ("trigram", "what follows each pair of tokens"),
    **dict.fromkeys(("random model", "random"), ("untrained model", "the same shape, random weights")),
    "starting weights": ("starting weights", "before fine-tuning"),
    **dict.fromkeys(("this model", "model"), ("trained model", "after training")),
    "this model, strided": ("trained model, strided", "sliding window: at least half a window of context"),
    **dict.fromkeys(("held-out text", "real"), ("validation text", "")),
}
_DYNAMIC = ", dynamic"


def title(name: str) -> str:
    """How something is called in a table."""
    return _WORDS.get(name, (name, ""))[0]


def meaning(name: str) -> str:
    """What it predicts by, in a few words; empty where nothing is known of it."""
    if name.endswith(_DYNAMIC):
        return f"{meaning(name.removesuffix(_DYNAMIC))}, counting on while it reads"
    if order := re.fullmatch(r"(byte )?(\d+)-gram", name):
        return f"what follows the {int(order[2]) - 1} {'bytes' if order[1] else 'tokens'} before"
    return _WORDS.get(name, (name, ""))[1]


def best_ngram(baselines: Mapping[str, float]) -> tuple[str, float] | None:
    """The lowest n-gram with fixed counts, by name and loss: the bar of a model. None where nothing was counted."""
    fixed = [(nats, name) for name, nats in baselines.items() if name != "uniform" and not name.endswith(_DYNAMIC)]
    return (min(fixed)[1], min(fixed)[0]) if fixed else None


def beside(loss: float, baselines: Mapping[str, float]) -> str:
    """How far a loss is from the best n-gram, such as `0.032 below 7-gram`; empty where nothing was counted."""
    if (best := best_ngram(baselines)) is None:
        return ""
    name, nats = best
    return f"{abs(nats - loss):.3f} {'below' if loss < nats else 'above'} {title(name)}"
