"""What people read where the program says uniform, unigram, bigram and trigram."""

from __future__ import annotations

from collections.abc import Mapping

#: The names of the dashboard and of the lesson: what each predictor has counted.
PREDICTORS: Mapping[str, str] = {
    "uniform": "guessing",
    "unigram": "letter counts",
    "bigram": "pairs",
    "trigram": "triples",
}


def predictors(*, long_tokens: bool) -> Mapping[str, str]:
    """Return the names for a text in tokens that are characters, or in longer ones, which are no letters."""
    return {**PREDICTORS, "unigram": "token counts"} if long_tokens else PREDICTORS


def has_long_tokens(characters_per_token: float) -> bool:
    """Whether nats a token are another number than nats a character."""
    return abs(characters_per_token - 1) > 0.005
