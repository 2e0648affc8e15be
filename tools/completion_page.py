"""The tables of docs/completion.md, made of `docs/completion/keys-saved.json` and `docs/completion/latency.json`.

`python -m tests.benchmarks.keys_saved` and `python -m tests.benchmarks.completion` write them;
`python -m tools.completion_page` fills the blocks `<!-- completion: NAME -->…<!-- /completion -->`. A block without its
file is empty.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "completion.md"
KEPT = PAGE.with_suffix("")
_BLOCK = re.compile(r"(?P<open><!-- completion: (?P<name>[\w-]+) -->\n).*?(?P<close><!-- /completion -->)", re.DOTALL)
_TEXTS = {
    "shakespeare": "Tiny Shakespeare",
    "python": "Python's standard library",
    "tunes": "dance tunes in ABC",
}


def share(value: float) -> str:
    """A share as the page and the lesson write it."""
    return f"{value:.0%}"


def _keys_saved(kept: dict[str, Any]) -> str:
    lines = [
        "| text held out | model | keys saved | offers taken | n-gram model | its keys saved |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, one in kept.items():
        model, ngram = one["model"], one["ngram"]
        about = f"{one['parameters'] / 1e6:.1f} M parameters, {one['steps']:,} steps, {one['epochs']:.2g} epochs"
        cells = [share(model["share"]), share(model["precision"]), f"{one['ngram_order']}-gram", share(ngram["share"])]
        lines.append(f"| {_TEXTS[name]} | {about} | {' | '.join(cells)} |")
    first = next(iter(kept.values()))
    counts = sorted({one["characters"] for one in kept.values()})
    typed = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    note = (
        f"Of each text {typed} characters were typed again, with an offer wherever the model believes with a "
        f"probability of at least {first['confidence']:g} that all of it is right. Without completion no key is saved."
    )
    return "\n".join([*lines, "", textwrap.fill(note, 120)])


def _latency(kept: dict[str, Any]) -> str:
    lines = [
        "## Latency",
        "",
        f"From the request to the answer of {kept['tokens']} characters over the server's standard input and output, "
        "in ms:",
        "",
        "| model | p50 | p95 | p99 | while pico trains: p50 | p95 | p99 | memory of the process |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines[2] = textwrap.fill(lines[2], 120)
    for name, one in kept["models"].items():
        about = f"{name}{'' if one['trained'] else ' (random weights)'}, {one['parameters'] / 1e6:.1f} M parameters"
        figures = [f"{one[when]['answer_ms'][p]:.1f}" for when in ("idle", "training") for p in ("p50", "p95", "p99")]
        lines.append(f"| {about} | {' | '.join(figures)} | {one['resident_mb']:.0f} MB |")
    machine = kept["machine"]
    return "\n".join([*lines, "", f"Measured on {machine['cores']} cores, {machine['processor']}."])


def render(text: str) -> str:
    """The page with its blocks filled."""
    makers = {"keys-saved": _keys_saved, "latency": _latency}

    def fill(match: re.Match[str]) -> str:
        path = KEPT / f"{match['name']}.json"
        if not path.is_file():
            return match["open"] + match["close"]
        return f"{match['open']}{makers[match['name']](json.loads(path.read_text('utf-8')))}\n{match['close']}"

    return _BLOCK.sub(fill, text)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
