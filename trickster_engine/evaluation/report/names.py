"""What people read where JSON says uniform, random model or validation text."""

from __future__ import annotations

from collections.abc import Mapping

#: Baselines (the n-grams have Kneser-Ney smoothing), models and texts that are compared.
NAMES: Mapping[str, str] = {
    "uniform": "uniform (ln V)",
    "unigram": "unigram",
    "bigram": "bigram",
    "trigram": "trigram",
    "random model": "untrained model",
    "this model": "trained model",
    "held-out text": "validation text",
}


def has_long_tokens(characters_per_token: float) -> bool:
    """Whether nats/token and nats/character differ."""
    return abs(characters_per_token - 1) > 0.005
