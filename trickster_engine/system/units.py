"""Quantities as people read them. A kB is a thousand bytes, a GB a thousand million, in every place that shows one."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_WORDS = (("trillion", 1e12), ("billion", 1e9), ("million", 1e6), ("thousand", 1e3))
_LETTERS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))
_FLOPS = (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6))


def size_text(size: float) -> str:
    """Bytes: `512 MB`, `1.80 GB`."""
    return _scaled(size, _BYTES) or f"{size:.0f} bytes"


def count_text(count: float) -> str:
    """A number of things in words: `50.2 thousand`, `17.7 million`."""
    return _scaled(count, _WORDS) or f"{count:,.0f}"


def short_count_text(count: float) -> str:
    """A number of things where there is little room: `11.6 M`, `980 k`, `12`."""
    return _scaled(count, _LETTERS) or (f"{count:,.0f}" if float(count).is_integer() else f"{count:.3g}")


def flops_text(operations: float) -> str:
    """Floating-point operations: `10.5 MFLOP`, `1.60 TFLOP`."""
    return _scaled(operations, _FLOPS) or f"{operations:,.0f} FLOP"


def times_text(value: float) -> str:
    """How often something happens: `0.3`, `4.9`, `147`."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


def duration_text(seconds: float) -> str:
    """A time the way people say it: `40 s`, `3 min`, `1 h 20 min`, `2 days 4 h`."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days:,} days {hours} h" if hours and days < 30 else f"{days:,} days"


def bits_per_byte(nats: float, bytes_per_token: float) -> float:
    """A loss in nats/token as bits a byte of text, which is the same unit whatever the tokens are."""
    return nats / math.log(2) / bytes_per_token


def _scaled(value: float, units: Sequence[tuple[str, float]]) -> str | None:
    """The value in three digits and the largest unit it fills; None below the smallest."""
    for unit, factor in units:
        if value >= factor * 0.9995:  # what would round to 1000 of the next smaller unit
            return f"{_three_digits(value / factor)} {unit}"
    return None


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
