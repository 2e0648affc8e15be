"""The measured blocks of docs/inside.md, made of `docs/inside/*.json`.

`python -m tests.benchmarks.induction`, `…inside` and `…layer_statistics` write them; `python -m tools.inside_page`
fills the blocks `<!-- inside: NAME -->…<!-- /inside -->`.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "inside.md"
KEPT = PAGE.with_suffix("")
_BLOCK = re.compile(r"(?P<open><!-- inside: (?P<name>[\w-]+) -->\n).*?(?P<close><!-- /inside -->)", re.DOTALL)
_EVERY = 400
"""Steps between two rows of the table of an induction head's birth."""


def _induction(kept: dict[str, Any]) -> str:
    lines = [
        "| step | induction score | best head | loss, first time | second time |",
        "|---:|---:|---|---:|---:|",
    ]
    moments = kept["moments"]
    for one in moments:
        if one["step"] % _EVERY == 0 or one["step"] == kept["born_at_step"]:
            losses = f"{one['loss_first_time']:.2f} | {one['loss_second_time']:.2f}"
            lines.append(f"| {one['step']:,} | {one['induction']:.2f} | {one['head']} | {losses} |")
    before = max(one["step"] for one in moments if one["step"] < kept["born_at_step"])
    copies = next(one["step"] for one in moments if one["loss_second_time"] < 0.5)
    words = (
        f"The score passes {kept['born_at_score']:g} between step {before:,} and step {kept['born_at_step']:,}. The "
        f"loss of the second time is below 0.5 from step {copies:,} on: this model copies before one of its heads "
        "looks where the score measures. A score says where a head looks, and not that nothing else does the work."
    )
    return "\n".join([*lines, "", textwrap.fill(words, 120)])


def _latency(kept: dict[str, Any]) -> str:
    lines = ["| model | first answer, model loaded | p50 | p95 |", "|---|---:|---:|---:|"]
    for one in kept["rows"]:
        name = one["run"].rpartition("-")[0]
        lines.append(f"| {name} | {one['first_s']:.1f} s | {one['p50_ms']:.0f} ms | {one['p95_ms']:.0f} ms |")
    return "\n".join([*lines, "", _where(kept["machine"])])


def _layers(kept: dict[str, Any]) -> str:
    lines = ["| preset | update | watched update | measurement | share of the time |", "|---|---:|---:|---:|---:|"]
    for name, one in kept["presets"].items():
        times = (f"{one[what] * 1e3:.0f} ms" for what in ("update", "watched", "measured"))
        lines.append(f"| {name} | {' | '.join(times)} | {one['share']:.1%} |")
    return "\n".join([*lines, "", _where(kept["machine"])])


def _where(machine: dict[str, Any]) -> str:
    return f"Measured on {machine['cores']} cores, {machine['processor']}."


_MAKERS = {"induction": _induction, "latency": _latency, "layers": _layers}


def render(text: str) -> str:
    """The page with its blocks filled."""

    def fill(match: re.Match[str]) -> str:
        kept = json.loads((KEPT / f"{match['name']}.json").read_text(encoding="utf-8"))
        return f"{match['open']}{_MAKERS[match['name']](kept)}\n{match['close']}"

    return _BLOCK.sub(fill, text)


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
