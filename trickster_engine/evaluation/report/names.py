"""What people read for the names that JSON has: baselines, and the models and texts that are compared."""

from __future__ import annotations

import re

#: Title and meaning. Of the baselines, the n-grams have Kneser-Ney smoothing.
_WORDS = {
    "uniform": ("uniform (ln V)", "every token equally likely"),
    "unigram": ("unigram", "how often each token occurs"),
    "bigram": ("bigram", "what follows each token"),
    "trigram": ("trigram", "what follows each pair of tokens"),
    **dict.fromkeys(("random model", "random"), ("untrained model", "the same shape, random weights")),
    "starting weights": ("starting weights", "before fine-tuning"),
    **dict.fromkeys(("this model", "model"), ("trained model", "after training")),
    **dict.fromkeys(("held-out text", "real"), ("validation text", "")),
}


def title(name: str) -> str:
    """How something is called in a table."""
    return _WORDS.get(name, (name, ""))[0]


def meaning(name: str) -> str:
    """What it predicts by, in a few words; empty where nothing is known of it."""
    if order := re.fullmatch(r"(\d+)-gram", name):
        return f"what follows the {int(order[1]) - 1} tokens before"
    return _WORDS.get(name, (name, ""))[1]
