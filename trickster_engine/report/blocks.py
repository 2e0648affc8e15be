"""The figures of the lesson's pages: what a block `<!-- kept: NAME KIND -->` is filled with, from a kept run."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from trickster_engine.report.picture import curve_picture

Kept = Mapping[str, Any]

#: Measures that a page has room for: two of each level.
_TOLD = frozenset(
    ["letters", "spaced-marks", "real-words", "old-words", "capital-lines", "line-length", "speeches", "known-speakers"]
)

#: Characters in a line of a page.
LINE = 120


def time_taken(kept: Kept) -> str:
    """How long the run took, where."""
    speeds = sorted(step["tokens_per_s"] for step in kept["steps"])
    typical = f", {speeds[len(speeds) // 2]:,} tokens a second" if speeds else ""
    return _wrapped(
        f"Measured on {kept['machine']}: {kept['curve'][-1]['step']:,} steps of a model with {kept['parameters']:,} "
        f"parameters took {duration(kept['seconds'])}{typical}."
    )


def curve(kept: Kept) -> str:
    """What the curve shows, in words; the picture lies beside the page."""
    points = kept["curve"]
    first, last = points[0], points[-1]
    best = min(points, key=lambda point: point["val_loss"])
    picture = (
        f"![Training and held-out loss of the kept run over {last['step']:,} steps](pictures/{picture_name(kept)})"
    )
    return f"{picture}\n\n" + _wrapped(
        f"A run that we kept, on {kept['machine']}: the held-out loss fell from {first['val_loss']:.3f} to "
        f"{best['val_loss']:.3f} at step {best['step']:,} (perplexity {math.exp(first['val_loss']):.0f} to "
        f"{math.exp(best['val_loss']):.1f}). At the end it was {last['val_loss']:.3f}, and {last['train_loss']:.3f} on "
        "training text."
    )


def samples(kept: Kept) -> str:
    """What the run wrote at its beginning, early, and at its end."""
    losses = {point["step"]: point["val_loss"] for point in kept["curve"]}
    every = kept["samples"]
    chosen = [every[index] for index in sorted({0, min(1, len(every) - 1), len(every) - 1})]
    parts = []
    for sample in chosen:
        loss = losses.get(sample["step"])
        text = (sample["prompt"] + sample["text"])[:160]
        shown = _broken("".join(map(_visible, text)).rstrip())
        parts.append(
            f"Step {sample['step']:,}{'' if loss is None else f', held-out loss {loss:.3f}'}:\n\n"
            f"```text\n{shown}\n```\n"
        )
    return "\n".join(parts)


def proof(kept: Kept) -> str:
    """The proof of learning as tables: losses, and what a thousand characters hold."""
    names = {"uniform": "guessing", "random model": "the untrained twin", "this model": "**the model**"}
    lines = ["| what predicts the held-out text | nats a token | bits a character |", "|---|---:|---:|"]
    for row in kept["proof"]["rows"]:
        name = names.get(row["name"], f"counting ({row['name']})")
        lines.append(f"| {name} | {row['nats']:.3f} | {row['bits_per_character']:.3f} |")
    lines += ["", "| in 1,000 characters of | real words | longest copy |", "|---|---:|---:|"]
    for name, text in kept["proof"]["texts"].items():
        shown = names.get(name, name)
        lines.append(f"| {shown} | {text['real_word_share']:.1%} | {text['longest_copied_run']} |")
    return "\n".join(lines) + "\n"


def learned(kept: Kept) -> str:
    """The report's measures in one table; nothing where the kept run was made without them."""
    if not kept.get("learned"):
        return ""
    lines = ["| level | question | random | model | real |", "|---|---|---:|---:|---:|"]
    for course in kept["learned"]:
        if course["key"] not in _TOLD:
            continue
        values = (_shown(course["unit"], course[name]) for name in ("random", "model", "real"))
        lines.append(f"| {course['level']} | {course['title']} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


def picture_name(kept: Kept) -> str:
    """The file beside a page that holds a kept run's curve."""
    return f"kept-{kept['name']}-curve.svg"


#: Blocks of a page by the second word of their comment. Those with a picture need it written beside the page.
BLOCKS: Mapping[str, Callable[[Kept], str]] = {
    "time": time_taken,
    "curve": curve,
    "samples": samples,
    "proof": proof,
    "learned": learned,
}
PICTURES: Mapping[str, Callable[[Kept], str]] = {"curve": curve_picture}


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _wrapped(prose: str) -> str:
    """A paragraph in lines no longer than a page's others."""
    return textwrap.fill(prose, LINE, break_on_hyphens=False) + "\n"


def _broken(text: str) -> str:
    """Verbatim text with its overlong lines cut: noise has no line breaks."""
    return "\n".join(
        line[start : start + LINE] for line in text.split("\n") for start in range(0, len(line) or 1, LINE)
    )


def _visible(character: str) -> str:
    """The character, or a dot for what has no shape of its own."""
    good = character == "\n" or (character.isprintable() and character != "\N{REPLACEMENT CHARACTER}")
    return character if good else "\N{MIDDLE DOT}"


def _shown(unit: str, value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.0%}" if unit == "share" else f"{value:.1f}"
