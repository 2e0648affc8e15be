"""The figures of docs/measures.md: `docs/measures/NAME.json`, one a domain, and the tables made of them.

`trickster evaluate RUN --measure NAME --json > ANSWER`, then `python -m tools.domains_page keep RUN ANSWER NAME` writes
one (a second ANSWER may be of another `--temperature`); `python -m tools.domains_page render docs/measures.md` fills
the blocks `<!-- domain: NAME -->…<!-- /domain -->`.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from pathlib import Path
from typing import Any

from trickster_engine.evaluation.item_measures import amounts_text
from trickster_engine.evaluation.report.history import history
from trickster_engine.evaluation.report.names import title
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.checkpoint_files import NAME

KEPT = Path(__file__).parent.parent / "docs" / "measures"
_BLOCK = re.compile(r"(?P<open><!-- domain: (?P<name>\w+) -->\n).*?(?P<close><!-- /domain -->)", re.DOTALL)
#: Figures of others on the same data: MOSES, Frontiers in Pharmacology 11:565644, 2020; the table of its repository.
PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "molecules": {
        "CharRNN, published": {"valid": 0.9748, "unique": 0.9994, "novel": 0.8419},
        "VAE, published": {"valid": 0.9767, "unique": 0.9984, "novel": 0.6949},
        "NGram, published": {"valid": 0.2376, "unique": 0.9217, "novel": 0.9694},
    }
}
_SOURCE = (
    "Published: [Polykovskiy et al., 2020](https://arxiv.org/abs/1811.12823), of 30,000 items each, *unique* of 10,000 "
    "of them."
)


def keep(run: RunDirectory, answer: dict[str, Any], name: str) -> dict[str, Any]:
    """What is kept of an evaluation, and of the run that it is of."""
    plan, identity = run.begun()
    # The figures are of a checkpoint, which may be an earlier one than the last.
    checkpoint = Path(answer["checkpoint"]).name
    step = int(checkpoint.removeprefix("step-")) if NAME.fullmatch(checkpoint) else history(run.events_path).step
    training = plan.training
    tokens = training.batch_size * training.gradient_accumulation_steps * plan.model.max_seq_len
    return {
        "parameters": identity.parameters,
        "device": f"{identity.device}, {identity.precision}",
        "steps": step,
        "tokens": tokens * step,
        "train_tokens": identity.data["train_tokens"],
        "fingerprint": identity.data["fingerprint"],
        "rows": answer["rows"],
        "items": answer["measured"]["items"],
        "temperature": answer["measured"]["temperature"],
        "figures": answer["measured"]["figures"][name],
        "first": {writer: items[0] for writer, items in answer["measured"]["first"].items()},
    }


def render(page: Path) -> str:
    """The page with its blocks filled; one without a recorded run is left empty."""

    def fill(match: re.Match[str]) -> str:
        path = KEPT / f"{match['name']}.json"
        block = f"{_block(match['name'], json.loads(path.read_text('utf-8')))}\n" if path.is_file() else ""
        return match["open"] + block + match["close"]

    return _BLOCK.sub(fill, page.read_text(encoding="utf-8"))


def _block(name: str, kept: dict[str, Any]) -> str:
    figures = dict(kept["figures"])
    for temperature, values in kept.get("other_temperatures", {}).items():
        figures[f"trained model, temperature {temperature}"] = values
    figures |= PUBLISHED.get(name, {})
    numbers = list(kept["figures"]["this model"])
    lines = [f"| {name} | {' | '.join(numbers)} |", f"|---|{'---:|' * len(numbers)}"]
    for writer, values in figures.items():
        called = f"**{title(writer)}**" if writer == "this model" else title(writer)
        cells = (_shown(number, values.get(number)) for number in numbers)
        lines.append(f"| {called} | {' | '.join(cells)} |")
    fast, strided = kept["rows"]
    epochs = kept["tokens"] / kept["train_tokens"]
    about = (
        f"{amounts_text(kept['items'])}; the model's at temperature {kept['temperature']:g}. "
        f"The model has {kept['parameters']:,} parameters and read {kept['tokens']:,} tokens in {kept['steps']:,} "
        f"steps, {epochs:.2g} epochs: validation loss {fast['bits_per_byte']:.3f} bits/byte, "
        f"strided {strided['bits_per_byte']:.3f}."
    )
    if name in PUBLISHED:
        about += f" {_SOURCE}"
    return "\n".join([*lines, "", textwrap.fill(about, 122)])


def _shown(number: str, value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.1f}" if number == "first illegal" else f"{value:.1%}"


def main() -> None:
    """Keep a run, or fill a page."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    keeping = commands.add_parser("keep")
    keeping.add_argument("run", type=Path)
    keeping.add_argument("answer", type=Path)
    keeping.add_argument("name")
    keeping.add_argument("other", type=Path, nargs="?")
    commands.add_parser("render").add_argument("page", type=Path)
    options = parser.parse_args()
    if options.command == "render":
        options.page.write_text(render(options.page), encoding="utf-8")
        return
    answer = json.loads(options.answer.read_text(encoding="utf-8"))
    kept = keep(RunDirectory(options.run), answer, options.name)
    if options.other is not None:
        other = json.loads(options.other.read_text(encoding="utf-8"))["measured"]
        figures = other["figures"][options.name]["this model"]
        kept["other_temperatures"] = {f"{other['temperature']:g}": figures}
    KEPT.mkdir(exist_ok=True)
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (KEPT / f"{options.name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
