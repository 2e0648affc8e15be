"""A model's architecture as a picture with its own numbers, in the style of the lesson's other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import count_parameters

#: Every picture of the lesson carries this style.
_STYLE = Path(__file__).parent / "picture.css"
_WIDTH, _HEIGHT = 560, 520
_LINE = {"": 19, "title": 19, "soft": 17}

Place = tuple[float, float]
Words = Sequence[tuple[str, str]]  # a line of text, and its class


def architecture_picture(model: ModelConfig) -> str:
    """The picture as an SVG document: the model on the left, one of its blocks on the right."""
    counts = count_parameters(model)
    blocks = counts.per_block * model.num_layers
    attention, mlp = counts.attention // model.num_layers, counts.mlp // model.num_layers
    output = "shares the embedding" if model.tie_embeddings else f"{counts.output:,} parameters"
    column: list[tuple[str, str, str]] = [
        ("tokens in", f"up to {model.max_seq_len:,} of them", "purple"),
        ("embedding", f"{counts.embedding:,} parameters", "blue"),
        (_plural(model.num_layers, "block"), f"{blocks:,} parameters", "green"),
        ("last norm", f"{model.hidden_dim:,} parameters", "blue"),
        ("output", output, "blue"),
    ]
    parts = [_text(130, 34, "the model", "title"), _text(408, 34, "one of its blocks", "title")]
    for row, (name, about, hue) in enumerate(column):
        top = 52 + 84 * row
        parts += _box(30, top, 200, 54, [(name, "title"), (about, "soft")], hue)
        parts += _arrow((130, top + 54), (130, top + (84 if row < len(column) - 1 else 80)))
    parts += [
        _text(130, 486, f"{model.vocab_size:,} probabilities,"),
        _text(130, 505, "one for each next token"),
        '<rect class="frame green" x="270" y="52" width="276" height="408" rx="10"/>',
    ]
    parts += _arrow((398, 66), (398, 96))
    heads = _plural(model.num_heads, "head") + (" looks back" if model.num_heads == 1 else " look back")
    inner: list[tuple[float, str, str]] = [
        (148, "attention", heads),
        (338, "feed-forward (SwiGLU)", f"{model.hidden_dim:,} to {model.mlp_dim:,} and back"),
    ]
    for (start, name, about), size in zip(inner, (attention, mlp), strict=True):
        parts += _box(296, start - 52, 204, 34, [("RMSNorm", "")], "blue")
        parts += _arrow((398, start - 18), (398, start))
        words = [(name, "title"), (about, "soft"), (f"{size:,} parameters", "soft")]
        parts += _box(296, start, 204, 74, words, "purple")
    for joint, after in ((256, 286), (438, 486)):
        parts += _arrow((398, joint - 34 if joint < 400 else joint - 26), (398, joint - 12))
        parts += [f'<circle class="box orange" cx="398" cy="{joint}" r="12"/>', _text(398, joint + 5, "+", "title")]
        parts += _arrow((398, joint + 12), (398, after))
    parts += _arrow((398, 78), (524, 78), (524, 256), (410, 256))
    parts += _arrow((398, 276), (524, 276), (524, 438), (410, 438))
    parts += [
        _text(408, 505, f"{counts.per_block:,} parameters per block", "soft"),
        '<path class="line dash" d="M230 224 L270 58"/>',
        '<path class="line dash" d="M230 270 L270 452"/>',
    ]
    about = (
        f"Tokens are embedded as {model.hidden_dim:,} numbers each, pass through {_plural(model.num_layers, 'block')} "
        f"of attention and feed-forward, and come out as {model.vocab_size:,} probabilities."
    )
    return document("The model", about, _WIDTH, _HEIGHT, parts)


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _box(x: float, y: float, width: float, height: float, words: Words, hue: str) -> list[str]:
    parts = [f'<rect class="box {hue}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>']
    top = y + (height - sum(_LINE[style] for _, style in words)) / 2
    for line, style in words:
        parts.append(_text(x + width / 2, round(top + _LINE[style] * 0.74, 1), line, style))
        top += _LINE[style]
    return parts


def _arrow(*places: Place) -> list[str]:
    """A line through places with a tip at the last; the last stretch is level or upright."""
    (x1, y1), (x2, y2) = places[-2:]
    along = (_sign(x2 - x1), _sign(y2 - y1))
    end = (x2 - 9 * along[0], y2 - 9 * along[1])
    way = " L".join(f"{x:g} {y:g}" for x, y in (*places[:-1], end))
    sides = [(x2 - 9 * along[0] + side * 4.3 * along[1], y2 - 9 * along[1] + side * 4.3 * along[0]) for side in (1, -1)]
    tip = " L".join(f"{x:g} {y:g}" for x, y in ((x2, y2), *sides))
    return [f'<path class="line" d="M{way}"/>', f'<path class="tip" d="M{tip} Z"/>']


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _text(x: float, y: float, text: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text x="{x:g}" y="{y:g}"{named} text-anchor="middle">{escape(text)}</text>'


def document(title: str, about: str, width: int, height: int, parts: Sequence[str]) -> str:
    """A picture of the lesson: its parts on a card, with the style that all share."""
    style = "".join(f"    {line}\n" for line in _STYLE.read_text(encoding="utf-8").splitlines())
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img"\n  aria-labelledby="title about">\n'
        f'  <title id="title">{escape(title)}</title>\n  <desc id="about">{escape(about)}</desc>\n'
        f"  <style>\n{style}  </style>\n"
        f'  <rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>\n{body}\n</svg>\n'
    )
