"""Where a measured text stands between untrained and real text, and what luck alone may do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trickster_engine.evaluation.report.measures import MEASURES, Measure, Reference, measure_text

#: Windows of validation text that stand for real text of a sample's length.
_WINDOWS = 200
#: These make sense only where the corpus is written as a dialogue.
_OF_DIALOGUE = ("speeches", "known-speakers", "answers")


@dataclass(frozen=True)
class Windows:
    """What many pieces of real text of one length answer."""

    mean: dict[str, float | None]
    #: Twice the standard deviation of the difference between two pieces: what luck alone may do. None where unknown.
    luck: dict[str, float | None]


def measure_windows(text: str, length: int, reference: Reference) -> Windows:
    """Answer every question about pieces of real text of a sample's `length` in characters."""
    answers = [measure_text(window, reference) for window in _windows(text, length)]
    each = {m.key: [value for answer in answers if (value := answer[m.key]) is not None] for m in MEASURES}
    return Windows(
        {key: _mean(values) for key, values in each.items()},
        {key: 2 * math.sqrt(2) * statistics.stdev(values) if len(values) > 1 else None for key, values in each.items()},
    )


def measures_that_apply(real: Mapping[str, float | None]) -> list[Measure]:
    """The questions that make sense for a corpus, told by what its real text answers."""
    dialogue = (real["speeches"] or 0.0) >= next(m.least for m in MEASURES if m.key == "speeches")
    chosen = []
    for measure in MEASURES:
        value = real[measure.key]
        if value is None or value < measure.least or (measure.key in _OF_DIALOGUE and not dialogue):
            continue
        chosen.append(measure)
    return chosen


def nearness(measure: Measure, value: float | None, random: float | None, real: float) -> float | None:
    """How far a value has come from random (0) to real (1); None where random and real are too alike to tell.

    A text in which the question has no object (`None`) counts as 0.
    """
    start = 0.0 if random is None else random
    if abs(real - start) < 0.02 * max(abs(real), abs(start), 1e-9):
        return None
    if value is None:
        return 0.0
    if measure.more_is_fine and value > real > start:
        return 1.0
    return max(0.0, 1.0 - abs(value - real) / abs(start - real))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _windows(text: str, length: int) -> list[str]:
    count = max(1, min(_WINDOWS, len(text) // max(1, length)))
    step = max(1, (len(text) - length) // count) if count > 1 else 1
    return [text[start * step : start * step + length] for start in range(count)]
