"""Where a text is cut into training and validation text: the checks and the preparation ask the same function."""

from __future__ import annotations

from fractions import Fraction

#: A larger share for validation is not proposed.
MOST_VALIDATION = 0.3


def validation_size(characters: int, fraction: float) -> int:
    """Return how many characters (or tokens) at the end of a text are for validation: the fraction, rounded up.

    Tiny Shakespeare's 1,115,394 at 0.1 give 111,540. The fraction is taken as it is written in the config.
    """
    return -int(-characters * Fraction(str(fraction)) // 1)
