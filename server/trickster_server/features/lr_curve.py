"""The learning-rate curve as a small picture: SVG where the client draws images, else blocks."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from trickster_engine.config.plan import TrainingConfig
from trickster_engine.config.yaml.scalars import number_text
from trickster_engine.estimates.learning_rate import learning_rate_at

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT = 300, 84
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 292, 20, 62


def learning_rates(training: TrainingConfig, points: int) -> list[float]:
    """The learning rate at `points` evenly spaced steps from the first to the last."""
    last = max(training.max_steps - 1, 1)
    return [learning_rate_at(round(index * last / max(points - 1, 1)), training) for index in range(points)]


def sparkline(values: Sequence[float]) -> str:
    """Values as a line of blocks of different heights."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BLOCKS[0] * len(values)
    return "".join(_BLOCKS[min(int(value / top * len(_BLOCKS)), len(_BLOCKS) - 1)] for value in values)


def svg(training: TrainingConfig) -> str:
    """The curve as an SVG picture that reads on dark and on light."""
    values = learning_rates(training, 72)
    top = max(*values, 1e-30)
    points = []
    for index, value in enumerate(values):
        x = _LEFT + (_RIGHT - _LEFT) * index / (len(values) - 1)
        y = _BOTTOM - (_BOTTOM - _TOP) * value / top
        points.append(f"{x:.1f},{y:.1f}")
    share = min(training.warmup_steps / max(training.max_steps, 1), 1.0)
    warm = _LEFT + (_RIGHT - _LEFT) * share
    area = f"{_LEFT},{_BOTTOM} {' '.join(points)} {_RIGHT},{_BOTTOM}"
    text = 'font-family="sans-serif" font-size="10" fill="#808080"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<polygon points="{area}" fill="#4a90e2" fill-opacity="0.18"/>'
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#4a90e2" stroke-width="2"/>'
        f'<line x1="{warm:.1f}" x2="{warm:.1f}" y1="{_TOP}" y2="{_BOTTOM}" stroke="#808080" stroke-dasharray="2 3"/>'
        f'<text x="{max(min(warm, 200.0), _LEFT):.1f}" y="12" {text}>{number_text(training.learning_rate)} at step '
        f"{training.warmup_steps:,}</text>"
        f'<text x="{_LEFT}" y="77" {text}>step 1</text>'
        f'<text x="{_RIGHT}" y="77" text-anchor="end" {text}>'
        f"{number_text(training.min_learning_rate)} at {training.max_steps:,}</text>"
        "</svg>"
    )


def picture(training: TrainingConfig, images: bool) -> str:
    """The curve as Markdown."""
    if images:
        data = base64.b64encode(svg(training).encode("utf-8")).decode("ascii")
        return f"![The learning rate over the run](data:image/svg+xml;base64,{data})"
    return f"`{sparkline(learning_rates(training, 32))}`"
