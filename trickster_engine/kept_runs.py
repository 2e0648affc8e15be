"""Kept runs: the small JSON files behind every figure that the README and the lesson quote.

`python -m trickster_engine.kept_runs keep RUN OUT --machine "two cores of …"` writes one from a finished run;
`python -m trickster_engine.kept_runs render PAGE…` fills the blocks between `<!-- kept: NAME -->` and `<!-- /kept -->`,
and `<!-- kept: NAME KIND -->` with a part of the run (the kinds are in `report/blocks.py`), and draws the pictures that
they show. A block of a run that was not kept is left empty, never stale.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from trickster_engine.report.blocks import BLOCKS, PICTURES, picture_name
from trickster_engine.runs import RunDirectory, read_events

KEPT_FOLDER = Path(__file__).parent.parent / "walkthroughs" / "runs"
_BLOCK = re.compile(
    r"(?P<open><!-- kept: (?P<name>[\w-]+)(?: (?P<kind>[\w-]+))? -->\n).*?(?P<close><!-- /kept -->)", re.DOTALL
)


def keep(run: RunDirectory, machine: str) -> dict[str, Any]:
    """What is worth keeping of a run: config, machine, curve, samples, times, proof."""
    from trickster_engine.comparison import compare
    from trickster_engine.data.prepare import prepare
    from trickster_engine.model.load import load_model
    from trickster_engine.report.study import study
    from trickster_engine.sampling import SamplingOptions

    identity, plan = run.identity(), run.plan()
    if identity is None or plan is None:
        raise SystemExit(f"{run.path} is not a finished run")
    events, _ = read_events(run.events_path)
    training = [e for e in events if e["kind"] == "status" and e["status"] == "training"]
    finished = [e for e in events if e["kind"] == "status" and e["status"] == "finished"]
    model, tokenizer, folder = load_model(run.path)
    dataset = prepare(plan, Path(identity.config_path).parent, progress=False)
    options = SamplingOptions.from_config(plan.sampling)
    proof = compare(model, tokenizer, dataset, [plan.sampling.prompt], options, plan.training.seed)
    return {
        "machine": machine,
        "device": identity.device,
        "precision": identity.precision,
        "versions": identity.versions,
        "config": run.config_path.read_text(encoding="utf-8"),
        "data": identity.data,
        "parameters": identity.parameters,
        "seconds": round(finished[-1]["t"] - training[0]["t"], 1),
        "curve": [
            {"step": e["step"], "train_loss": round(e["train_loss"], 4), "val_loss": round(e["val_loss"], 4)}
            for e in events
            if e["kind"] == "eval"
        ],
        "steps": [
            {"step": e["step"], "loss": round(e["loss"], 4), "tokens_per_s": round(e["tokens_per_s"])}
            for e in events
            if e["kind"] == "step"
        ],
        "samples": [
            {"step": e["step"], "prompt": e["prompt"], "text": e["text"]} for e in events if e["kind"] == "sample"
        ],
        "best": folder.name,
        "proof": proof.as_json(),
        "learned": [
            {
                "key": course.key,
                "level": course.level,
                "title": course.title,
                "unit": course.unit,
                "random": course.long_random,
                "model": course.long_model,
                "real": course.long_real,
                "ordered": course.ordered,
            }
            for course in study(run.path).courses
        ],
    }


def proof_table(kept: dict[str, Any]) -> str:
    """The proof of learning as a Markdown table."""
    lines = ["| what predicts the held-out text | nats a character | bits a character |", "|---|---:|---:|"]
    names = {"uniform": "guessing (ln V)", "random model": "the model before training", "this model": "**the model**"}
    for row in kept["proof"]["rows"]:
        name = names.get(row["name"], f"{row['name']} counts")
        lines.append(f"| {name} | {row['nats']:.3f} | {row['bits_per_character']:.3f} |")
    return "\n".join(lines)


def block(kept: dict[str, Any]) -> str:
    """The README's account of a kept run."""
    curve = kept["curve"]
    random, trained = (kept["proof"]["samples"][0][which] for which in ("random", "trained"))
    prompt = kept["proof"]["samples"][0]["prompt"]
    noise = "".join(c if " " <= c <= "~" else "·" for c in random)[:120]
    minutes, seconds = divmod(round(kept["seconds"]), 60)
    return "\n".join(
        [
            f"On {kept['machine']}, {kept['parameters']:,} parameters, {curve[-1]['step']:,} steps in "
            f"{minutes} min {seconds} s: held-out loss {curve[0]['val_loss']:.3f} → {curve[-1]['val_loss']:.3f} nats.",
            "",
            "Before training:",
            "",
            "```text",
            prompt + noise,
            "```",
            "",
            "After:",
            "",
            "```text",
            (prompt + trained).strip(),
            "```",
            "",
            proof_table(kept),
            "",
        ]
    )


def render(page: str, folder: Path = KEPT_FOLDER) -> str:
    """A page with its blocks filled from the kept runs they name."""

    def fill(match: re.Match[str]) -> str:
        kept = read_kept(match["name"], folder)
        if kept is None:
            return match["open"] + match["close"]
        filling = BLOCKS[match["kind"]] if match["kind"] else block
        return match["open"] + filling(kept) + match["close"]

    return _BLOCK.sub(fill, page)


def read_kept(name: str, folder: Path = KEPT_FOLDER) -> dict[str, Any] | None:
    """A kept run with its name, or None where there is none of that name."""
    try:
        kept = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return {"name": name, **kept}


def pictures(page: str, folder: Path = KEPT_FOLDER) -> dict[str, str]:
    """The pictures that a page's blocks show: file name below `pictures/`, and the SVG document."""
    drawn = {}
    for match in _BLOCK.finditer(page):
        kept = read_kept(match["name"], folder)
        if kept is not None and match["kind"] in PICTURES:
            drawn[picture_name(kept)] = PICTURES[match["kind"]](kept)
    return drawn


def main() -> None:
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(prog="python -m trickster_engine.kept_runs", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    keeping = commands.add_parser("keep")
    keeping.add_argument("run", type=Path)
    keeping.add_argument("out", type=Path)
    keeping.add_argument("--machine", required=True)
    rendering = commands.add_parser("render")
    rendering.add_argument("pages", nargs="+", type=Path)
    options = parser.parse_args()
    if options.command == "keep":
        kept = keep(RunDirectory(options.run), options.machine)
        options.out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        for page in options.pages:
            text = page.read_text(encoding="utf-8")
            page.write_text(render(text), encoding="utf-8")
            for name, picture in pictures(text).items():
                (page.parent / "pictures" / name).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
