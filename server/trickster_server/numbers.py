"""Numbers as people read them."""

from __future__ import annotations

from trickster_engine.estimates import duration_text as duration

__all__ = ["count", "duration", "memory", "times"]


def count(value: float) -> str:
    """`11.6 M`, `980 k`, `12`: three significant digits."""
    for size, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{_three(value / size)} {name}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def memory(size: float) -> str:
    """`1.21 GB`, in powers of 1024."""
    for unit, name in ((1024**4, "TB"), (1024**3, "GB"), (1024**2, "MB"), (1024, "kB")):
        if size >= unit:
            return f"{_three(size / unit)} {name}"
    return f"{size:.0f} bytes"


def times(value: float) -> str:
    """`0.3`, `4.9`, `147`: how often something happens."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
