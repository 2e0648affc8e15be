"""One attention head and one update of the weights, small enough to follow by hand: what two steps of the lesson show.

`python -m tools.by_hand` computes the figures with NumPy, keeps them in `walkthroughs/by_hand.json`, writes them into
the blocks `<!-- by hand: NAME -->` of the two pages, and draws the pictures. A test computes them again with torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent.parent / "walkthroughs"
KEPT = FOLDER / "by_hand.json"
_BLOCK = re.compile(r"(<!-- by hand: (\w+) -->\n).*?(<!-- /by hand -->)", re.DOTALL)
Figures = dict[str, Any]
Array = NDArray[np.float64]


def head() -> Figures:
    """One head of width 2 over three tokens, without rotary embedding."""
    tokens = ["to", "be", "to"]
    embedding = {"to": [1.0, 0.2], "be": [-0.4, 0.9]}
    x = np.array([embedding[token] for token in tokens])
    w_q, w_k, w_v = np.array([[[2.0, 0.0], [0.0, 1.0]], [[1.5, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.8, 1.0]]])
    q, k, v = x @ w_q.T, x @ w_k.T, x @ w_v.T
    scores = q @ k.T / math.sqrt(2)
    allowed = np.tril(np.ones((3, 3), dtype=bool))
    raised = np.where(allowed, np.exp(scores), 0.0)
    weights = raised / raised.sum(axis=1, keepdims=True)
    arrays = {"x": x, "w_q": w_q, "w_k": w_k, "w_v": w_v, "q": q, "k": k, "v": v, "scores": scores, "weights": weights}
    return {"tokens": tokens, **{name: array.tolist() for name, array in arrays.items()}, "out": (weights @ v).tolist()}


def update() -> Figures:
    """One batch through a table of logits [token, next token]: loss, gradient, clipping, gradient descent, AdamW."""
    text, letters, rate, limit = "abac", "abc", 1.0, 0.25
    before = np.array([[0.1, -0.2, 0.0], [0.0, 0.3, -0.1], [0.2, 0.0, 0.1]])
    ids = [letters.index(letter) for letter in text]
    inputs, targets = ids[:-1], ids[1:]

    def probabilities(table: Array) -> Array:
        raised = np.exp(table)
        shares: Array = raised / raised.sum(axis=1, keepdims=True)
        return shares

    def loss(table: Array) -> float:
        return float(-np.log(probabilities(table)[inputs, targets]).mean())

    gradient = np.zeros_like(before)
    for one, following in zip(inputs, targets, strict=True):
        gradient[one] += probabilities(before)[one] / len(inputs)
        gradient[one, following] -= 1 / len(inputs)
    norm = float(np.sqrt((gradient**2).sum()))
    clipped = gradient * min(1.0, limit / norm)
    after = before - rate * clipped
    adam_rate, decay, epsilon = 0.1, 0.1, 1e-8
    # In its first step both running averages are the gradient's own, so that every weight moves by the rate.
    adamw = before * (1 - adam_rate * decay) - adam_rate * clipped / (np.abs(clipped) + epsilon)
    return {
        "text": text, "letters": letters, "rate": rate, "limit": limit, "adam_rate": adam_rate, "decay": decay,
        "before": before.tolist(), "probabilities": probabilities(before).tolist(), "loss_before": loss(before),
        "gradient": gradient.tolist(), "norm": norm, "clipped": clipped.tolist(), "after": after.tolist(),
        "loss_after": loss(after), "adamw": adamw.tolist(), "loss_adamw": loss(adamw),
    }  # fmt: skip


# ---- blocks of the pages ---------------------------------------------------------------------------------------------


def _table(corner: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[float]]], digits: int = 2) -> str:
    lines = [f"| {corner} | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {name} | {' | '.join(_number(value, digits) for value in row)} |" for name, row in rows]
    return "\n".join(lines)


def _number(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _letters(kept: Figures, name: str, digits: int = 3) -> str:
    letters = kept["update"]["letters"]
    rows = zip((f"after `{one}`" for one in letters), kept["update"][name], strict=True)
    return _table("", [f"`{one}`" for one in letters], rows, digits)


def _vectors(kept: Figures) -> str:
    rows = []
    for position in (0, 1):
        for name, field in (("input", "x"), ("query", "q"), ("key", "k"), ("value", "v")):
            rows.append((f"`{kept['head']['tokens'][position]}`: {name}", kept["head"][field][position]))
    return _table("", ["first", "second"], rows)


def _scores(kept: Figures) -> str:
    found = kept["head"]
    names = [f"{number}. `{token}`" for number, token in enumerate(found["tokens"], start=1)]
    rows = [("score", found["scores"][2]), ("weight", found["weights"][2])]
    out = ", ".join(_number(value) for value in found["out"][2])
    return _table("third token", names, rows) + f"\n\nWhat it fetches, the values in these proportions: ({out})."


def _losses(kept: Figures) -> str:
    found = kept["update"]
    return (
        f"The loss of the batch was {_number(found['loss_before'], 3)} nats/token. After the step it is "
        f"{_number(found['loss_after'], 3)}."
    )


def _clipping(kept: Figures) -> str:
    found = kept["update"]
    factor = found["limit"] / found["norm"]
    return (
        f"The gradient's norm, the root of the sum of its squares, is {_number(found['norm'], 3)}. The maximum here is "
        f"{found['limit']:g}, so all of it is\nmultiplied by {_number(factor, 2)}."
    )


def _adamw(kept: Figures) -> str:
    return f"after AdamW's first step the loss is {_number(kept['update']['loss_adamw'], 3)}."


BLOCKS: dict[str, Callable[[Figures], str]] = {
    "vectors": _vectors,
    "scores": _scores,
    "table": lambda kept: _letters(kept, "before", 1),
    "probabilities": lambda kept: _letters(kept, "probabilities"),
    "gradient": lambda kept: _letters(kept, "gradient"),
    "clipping": _clipping,
    "after": lambda kept: _letters(kept, "after"),
    "losses": _losses,
    "adamw": _adamw,
}


def rendered(text: str, kept: Figures) -> str:
    """A page with its blocks filled in."""
    return _BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](kept)}\n{found[3]}", text)


# ---- pictures --------------------------------------------------------------------------------------------------------


def _picture(title: str, about: str, height: int, parts: Iterable[str]) -> str:
    other = (FOLDER / "pictures" / "train.svg").read_text(encoding="utf-8")
    style = other[other.index("<style>") : other.index("</style>") + len("</style>")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" width="560" height="{height}" '
        f'viewBox="0 0 560 {height}" role="img"\n  aria-labelledby="title about">\n'
        f'  <title id="title">{title}</title>\n'
        f'  <desc id="about">{about}</desc>\n  {style}\n'
        f'  <rect class="card" x="0.5" y="0.5" width="559" height="{height - 1}" rx="10"/>\n  '
        + "\n  ".join(parts)
        + "\n</svg>\n"
    )


def _words(x: float, y: float, words: str, style: str = "") -> str:
    of = f' class="{style}"' if style else ""
    return f'<text x="{x:g}" y="{y:g}"{of} text-anchor="middle">{words}</text>'


def _grid(columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str | None]]], hue: str, top: int) -> list[str]:
    parts = [_words(210 + 120 * number, top, name, "code") for number, name in enumerate(columns)]
    for line, (name, cells) in enumerate(rows):
        y = top + 14 + 48 * line
        parts.append(_words(95, y + 26, name, "code"))
        for number, cell in enumerate(cells):
            x = 156 + 120 * number
            if cell is None:
                parts.append(f'<rect class="card dash" x="{x}" y="{y}" width="108" height="40" rx="6"/>')
            else:
                parts.append(f'<rect class="box {hue}" x="{x}" y="{y}" width="108" height="40" rx="6"/>')
                parts.append(_words(x + 54, y + 26, cell))
    return parts


def head_picture(kept: Figures) -> str:
    """Which tokens each of three may look at; the weights are the page's to tell."""
    tokens = [f"{number}. {token}" for number, token in enumerate(kept["head"]["tokens"], start=1)]
    rows = [(f"{token} sees", ["?" if j <= i else None for j in range(3)]) for i, token in enumerate(tokens)]
    title = "What each token may look at"
    about = "Three rows and three columns: the first token sees itself, the second the first two, the third all three."
    return _picture(title, about, 240, [_words(280, 34, title, "title"), *_grid(tokens, rows, "blue", 64)])


def update_picture(kept: Figures) -> str:
    """The nine weights before the step."""
    letters = list(kept["update"]["letters"])
    rows = [
        (f"after {one}", [_number(value, 1) for value in row])
        for one, row in zip(letters, kept["update"]["before"], strict=True)
    ]
    title = "Nine weights, before the step"
    about = "A table of logits: a row for each letter, a column for each letter that may follow it."
    return _picture(title, about, 240, [_words(280, 34, title, "title"), *_grid(letters, rows, "green", 64)])


def diagnose_picture(_: Figures) -> str:
    """From symptoms to one cause."""
    title = "From evidence to cause"
    about = "Three kinds of evidence, the losses, the layers and the samples, lead to one of five faults."
    parts = [_words(280, 34, title, "title")]
    for number, (name, hue) in enumerate((("losses", "blue"), ("layers", "green"), ("samples", "purple"))):
        y = 60 + 56 * number
        parts.append(f'<rect class="box {hue}" x="40" y="{y}" width="150" height="44" rx="8"/>')
        parts.append(_words(115, y + 27, name))
        parts.append(f'<path class="line" d="M190 {y + 22} L320 138"/>')
    parts.append('<rect class="box orange" x="320" y="108" width="200" height="60" rx="8"/>')
    parts.append(_words(420, 134, "one of five faults"))
    parts.append(_words(420, 154, "which?", "soft"))
    return _picture(title, about, 240, parts)


PICTURES: dict[str, Callable[[Figures], str]] = {
    "head": head_picture,
    "update": update_picture,
    "diagnose": diagnose_picture,
}


def main() -> None:
    """Compute, keep, fill in, draw."""
    kept = {"head": head(), "update": update()}
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    for name in ("head", "update"):
        path = FOLDER / f"{name}.md"
        path.write_text(rendered(path.read_text(encoding="utf-8"), kept), encoding="utf-8")
    for name, draw in PICTURES.items():
        (FOLDER / "pictures" / f"{name}.svg").write_text(draw(kept), encoding="utf-8")


if __name__ == "__main__":
    main()
