"""The picture of a recorded run: its losses and the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from trickster_engine.evaluation.report.architecture import document
from trickster_engine.evaluation.report.names import title

_WIDTH, _HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 536, 40, 268


def tokens_per_character(kept: Mapping[str, Any], part: str) -> float:
    """Of the training or the validation text ("train", "val"); 1 where a token is a byte or a character."""
    share: float = kept["data"][f"{part}_tokens"] / kept["data"][f"{part}_characters"]
    return share


def by_character(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of the curve in nats/character, which compare whatever the tokenizer."""
    shares = {part: tokens_per_character(kept, part) for part in ("train", "val")}
    return [
        {"step": point["step"], **{f"{part}_loss": point[f"{part}_loss"] * share for part, share in shares.items()}}
        for point in kept["curve"]
    ]


def curve_picture(kept: Mapping[str, Any]) -> str:
    """The losses over the run and the baselines, as an SVG document."""
    points = by_character(kept)
    share = tokens_per_character(kept, "val")
    rows = {row["name"]: row["nats"] * share for row in kept["proof"]["rows"]}
    baselines = {name: nats for name, nats in rows.items() if "model" not in name and "dynamic" not in name}
    last = points[-1]["step"]
    values = [point["val_loss"] for point in points] + [point["train_loss"] for point in points] + [*baselines.values()]
    low, high = min(values), max(values)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = _LEFT + (_RIGHT - _LEFT) * step / last
        return round(x, 1), round(_BOTTOM - (_BOTTOM - _TOP - 14) * (loss - low) / (high - low), 1)

    parts = [f'<path class="line" d="M{_LEFT} {_TOP}V{_BOTTOM + 8}H{_RIGHT}"/>']
    for name, nats in baselines.items():
        _, y = place(0, nats)
        parts.append(f'<path class="line dash" d="M{_LEFT} {y}H{_RIGHT}"/>')
        parts.append(_text(_RIGHT, y - 5, f"{title(name)} {nats:.3f}", "soft", "end"))
    for name, hue in (("train_loss", "blue"), ("val_loss", "orange")):
        parts.append(_curve([place(point["step"], point[name]) for point in points], hue))
    for loss in (low, high):
        parts.append(_text(_LEFT - 6, place(0, loss)[1] + 4, f"{loss:.2f}", "soft", "end"))
    parts += [
        _text(24, 26, f"loss, nats/{'token' if share == 1 else 'character'}", "soft", "start"),
        f'<path class="curve orange" d="M{_LEFT + 160} 22h24"/>',
        _text(_LEFT + 190, 26, "validation", "soft", "start"),
        f'<path class="curve blue" d="M{_LEFT + 310} 22h24"/>',
        _text(_LEFT + 340, 26, "training", "soft", "start"),
        _text(_LEFT, _BOTTOM + 26, "0", "soft", "middle"),
        _text(_RIGHT, _BOTTOM + 26, f"{last:,} steps", "soft", "end"),
    ]
    first, final = points[0]["val_loss"], points[-1]["val_loss"]
    about = f"The validation loss falls from {first:.3f} to {final:.3f} over {last:,} steps."
    return document(f"The recorded run of {kept['name']}", about, _WIDTH, _HEIGHT, parts)


def _curve(places: Sequence[tuple[float, float]], hue: str) -> str:
    return f'<path class="curve {hue}" d="M' + " L".join(f"{x} {y}" for x, y in places) + '"/>'


def _text(x: float, y: float, text: str, style: str, anchor: str) -> str:
    return f'<text x="{x}" y="{round(y, 1)}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'
