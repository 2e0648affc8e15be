"""Charts as inline SVG that takes its colours from the page around it. Nothing is loaded, nothing runs."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 680, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 40


@dataclass(frozen=True)
class Series:
    """A line of a chart; `hue` names one of the page's colours."""

    name: str
    hue: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Frame:
    """From values to places."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - self.x0) / (self.x1 - self.x0)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - self.y0) / (self.y1 - self.y0)


def lines(
    series: Sequence[Series],
    *,
    x_name: str,
    y_name: str,
    title: str,
    levels: Mapping[str, float] | None = None,
    marks: Mapping[str, float] | None = None,
    names: Mapping[float, str] | None = None,
) -> str:
    """A chart of lines; `levels` are named horizontals, `marks` verticals, `names` replace the x axis' numbers."""
    levels, marks = levels or {}, marks or {}
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points] + list(levels.values())
    if not xs:
        return ""
    low, high = min(ys), max(ys)
    room = (high - low or 1.0) * 0.05
    frame = _Frame(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, max(0.0, low - room), high + room)
    parts = [_axes(frame, x_name, y_name, names)]
    taken: list[float] = []
    for name, value in sorted(levels.items(), key=lambda item: -item[1]):
        y = frame.y(value)
        parts.append(f'<path class="level" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        label = y - 4 if all(abs(y - 4 - other) > 12 for other in taken) else y + 13
        taken.append(label)
        parts.append(_text(WIDTH - _RIGHT - 2, label, f"{name} {value:.3f}", "end"))
    for name, value in marks.items():
        x = frame.x(value)
        anchor = "end" if x > WIDTH / 2 else "start"
        parts.append(f'<path class="mark" d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>')
        parts.append(_text(x + (-5 if anchor == "end" else 5), _TOP + 11, name, anchor))
    for one in series:
        way = " L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in one.points)
        parts.append(f'<path class="curve {one.hue}" d="M{way}"/>')
        parts += [
            f'<circle class="dot {one.hue}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3">'
            f"<title>{_escaped(one.name)}: {y:.3f}, {x_name} {(names or {}).get(x) or format(x, ',g')}</title>"
            "</circle>"
            for x, y in one.points
        ]
    return _svg(title, parts)


def spark(points: Sequence[tuple[float, float | None]], low: float, high: float, title: str) -> str:
    """A small line in a table; `low` and `high` are the levels of random and of real text."""
    width, height = 150, 34
    known = [(x, y) for x, y in points if y is not None]
    if len(known) < 2:
        return ""
    values = [y for _, y in known] + [low, high]
    bottom, top = min(values), max(values)
    span, reach = top - bottom or 1.0, known[-1][0] - known[0][0] or 1.0

    def place(x: float, y: float) -> str:
        return (
            f"{3 + (width - 6) * (x - known[0][0]) / reach:.1f} {height - 4 - (height - 8) * (y - bottom) / span:.1f}"
        )

    level = height - 4 - (height - 8) * (high - bottom) / span
    way = " L".join(place(x, y) for x, y in known)
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{_escaped(title)}"><path class="level" d="M0 {level:.1f}H{width}"/>'
        f'<path class="curve blue" d="M{way}"/></svg>'
    )


def legend(series: Sequence[Series]) -> str:
    """The names of a chart's lines with their colours."""
    return (
        '<p class="legend">'
        + " ".join(f'<span><i class="{one.hue}"></i>{_escaped(one.name)}</span>' for one in series)
        + "</p>"
    )


# ---------------------------------------------------------------------------------------------------------------------


def _axes(frame: _Frame, x_name: str, y_name: str, names: Mapping[float, str] | None) -> str:
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>']
    for value in _ticks(frame.y0, frame.y1):
        y = frame.y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{value:g}", "end"))
    for value in names or _ticks(frame.x0, frame.x1):
        shown = names[value] if names else f"{value:,g}"
        parts.append(_text(frame.x(value), HEIGHT - _BOTTOM + 16, shown, "middle"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 6, x_name, "middle"))
    parts.append(
        f'<text transform="translate(13 {(HEIGHT - _BOTTOM + _TOP) / 2}) rotate(-90)" text-anchor="middle">'
        f"{_escaped(y_name)}</text>"
    )
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers between two."""
    step = 10 ** math.floor(math.log10((high - low) / 5))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 6)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_escaped(title)}">'
        f"<title>{_escaped(title)}</title>{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return html.escape(text)
