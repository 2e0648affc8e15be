"""What a key takes, in words, and whether a number keeps within its limits."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from trickster_engine.config.keys import Key
from trickster_engine.config.yaml.scalars import number_text

# The smallest number that 32 bits hold with all its digits.
SMALLEST: Final = 2.0**-126


def as_32_bits(value: float) -> float:
    """Return the number of 32 bits that is nearest to `value`."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def lost_in_32_bits(key: Key, value: float) -> str | None:
    """Say what the 32-bit numbers of a model make of `value`, where that is another number in kind; None where not."""
    if value != 0 and abs(value) < SMALLEST:
        return f"{key.name} is {number_or_int(value)}, which 32-bit numbers cannot hold. Write 0 if that is meant."
    if key.below is not None and as_32_bits(value) >= key.below:
        return (
            f"{key.name} must be less than {number_or_int(key.below)} in 32-bit numbers as well, and {value!r} is "
            f"{number_or_int(key.below)} to them."
        )
    return None


def limit_broken(key: Key, value: float) -> str | None:
    """Say how `value` breaks the key's limits; None when it keeps them."""
    shown = number_or_int(value)
    for broken, words, limit in (
        (key.minimum is not None and value < key.minimum, "at least", key.minimum),
        (key.above is not None and value <= key.above, "more than", key.above),
        (key.maximum is not None and value > key.maximum, "at most", key.maximum),
        (key.below is not None and value >= key.below, "less than", key.below),
    ):
        if broken and limit is not None:
            low = words in ("at least", "more than")
            reason = f" {key.limit_reason}" if key.limit_reason and low else ""
            return f"{key.name} must be {words} {number_or_int(limit)}, and is {shown}.{reason}"
    return None


def expected(key: Key) -> str:
    """Say in words what a key takes: `a whole number from 1`, `one of cosine and linear`."""
    if key.choices:
        return f"one of {listed(key.choices)}"
    if key.type in ("integer", "number"):
        return ("a whole number" if key.type == "integer" else "a number") + _limits(key)
    return {
        "boolean": "true or false",
        "text": "a text",
        "path": "a path or a name" if key.suggestions else "a path",
        "paths": "a path, or a list of paths",
        "mesh": "two whole numbers, [rows, columns]",
        "patterns": 'a list of patterns, ["*.txt"]',
        "sources": "a path or a name, or a list of {path, weight}",
    }[key.type]


def _limits(key: Key) -> str:
    low, high = "", ""
    if key.minimum is not None:
        low = f" from {number_or_int(key.minimum)}"
    elif key.above is not None:
        low = f" above {number_or_int(key.above)}"
    if key.maximum is not None and key.maximum <= 100:
        high = f" to {number_or_int(key.maximum)}"
    elif key.below is not None:
        high = f" to below {number_or_int(key.below)}"
    return low + high


def number_or_int(value: float) -> str:
    """Return a number the way people write it: no `.0` on whole ones, separators in large ones."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return str(int(value)) if abs(value) < 10**18 else f"{value:.3g}"
    return number_text(value)


def listed(names: Mapping[str, str]) -> str:
    """Return names as in a sentence: `byte, char or bpe`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
