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
