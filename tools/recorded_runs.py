"""Recorded runs: the small JSON files behind every figure that the README and the lesson quote.

`python -m tools.recorded_runs keep RUN OUT --machine "two cores of …"` writes one from a run, also from one that
was stopped before its last step, or stopped and resumed;
`python -m tools.recorded_runs random OUT` writes the validation losses of untrained models and of n-grams;
`python -m tools.recorded_runs render PAGE…` fills the blocks between `<!-- kept: NAME -->` and `<!-- /kept -->`,
and `<!-- kept: NAME KIND -->` with a part of the run (the kinds are in `tools/recorded_blocks.py`), and draws the
pictures that they show. A block without a recorded run is left empty, never stale.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.recorded_blocks import BLOCKS, PICTURES, picture_name
from trickster_engine.evaluation.report.history import history
from trickster_engine.evaluation.report.names import title
from trickster_engine.runs import RunDirectory

if TYPE_CHECKING:  # rendering pages needs no torch
    from trickster_engine.data.dataset import Dataset
    from trickster_engine.model.llama import Llama
    from trickster_engine.runs.event_types import StepEvent

KEPT_FOLDER = Path(__file__).parent.parent / "walkthroughs" / "runs"
#: Shapes whose untrained models are kept.
RANDOM_PRESETS = ("pico", "nano")
_MOST_STEPS = 200
_BLOCK = re.compile(
    r"(?P<open><!-- kept: (?P<name>[\w-]+)(?: (?P<kind>[\w-]+))? -->\n).*?(?P<close><!-- /kept -->)", re.DOTALL
)


def keep(run: RunDirectory, machine: str) -> dict[str, Any]:
    """What is worth keeping of a run up to its newest checkpoint: config, machine, curve, samples, time, proof."""
    from trickster_engine.evaluation.compare import compare
    from trickster_engine.evaluation.report.study import study
    from trickster_engine.inference.load import before_training, load_model
    from trickster_engine.inference.sampling import SamplingOptions, sample
    from trickster_engine.runs.checkpoint_files import checkpoint_name, plan_as_trained
    from trickster_engine.runs.trained_text import trained_text

    identity, plan = run.identity(), run.plan_if_readable()
    if identity is None or plan is None:
        raise SystemExit(f"{run.path} is not a run that has begun")
    past = history(run.events_path, saved_only=True)
    if past.saved_step is None:
        raise SystemExit(f"{run.path} has no checkpoint yet")
    dataset = trained_text(run, plan, identity)
    options = SamplingOptions.from_config(plan.sampling)
    points = {event["step"]: (event["train_loss"], event["val_loss"]) for event in past.evaluations}
    samples = {event["step"]: (event["prompt"], event["text"]) for event in past.samples}
    if past.saved_step not in points:  # stopped between two evaluations
        model, tokenizer, _ = load_model(run.path, checkpoint_name(past.saved_step))
        points[past.saved_step] = _losses(model, dataset)
        prompt = plan.sampling.prompt
        samples[past.saved_step] = (prompt, sample(model, tokenizer, prompt, options))
    best = min(points, key=lambda step: points[step][1])
    model, tokenizer, folder = load_model(
        run.path, checkpoint_name(past.saved_step) if best == past.saved_step else "best"
    )
    plan, _ = plan_as_trained(folder, plan)
    learned = study(run.path, folder.name)
    before = before_training(run, plan, model.config)
    proof = compare(model, tokenizer, dataset, [plan.sampling.prompt], options, before)
    return {
        "machine": machine,
        "device": identity.device,
        "precision": identity.precision,
        "versions": identity.versions,
        "config": run.config_path.read_text(encoding="utf-8"),
        "data": identity.data,
        "parameters": identity.parameters,
        "seconds": round(past.seconds, 1),
        "sittings": past.sittings,
        "curve": [
            {"step": step, "train_loss": round(train, 4), "val_loss": round(val, 4)}
            for step, (train, val) in sorted(points.items())
        ],
        "steps": [
            {"step": event["step"], "loss": round(event["loss"], 4), "tokens_per_s": round(event["tokens_per_s"])}
            for event in _thinned(past.steps)
        ],
        "samples": [{"step": step, "prompt": prompt, "text": text} for step, (prompt, text) in sorted(samples.items())],
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
                "backs": [{"step": back.step, "luck": back.luck} for back in course.backs],
                "past": course.past,
            }
            for course in learned.courses
        ],
        "counting": asdict(learned.counting),
    }


def _losses(model: Llama, dataset: Dataset) -> tuple[float, float]:
    """The losses on the probe of the training text and on the validation text, as training itself evaluates them."""
    from trickster_engine.data.batches import evenly_spaced_windows
    from trickster_engine.evaluation.compare import held_out_loss, mean_loss
    from trickster_engine.training.loop import TRAIN_PROBE_TOKENS

    length = model.config.max_seq_len
    inputs, targets = evenly_spaced_windows(dataset.train, length, max(1, TRAIN_PROBE_TOKENS // length))
    rows = ((inputs[row : row + 1], targets[row : row + 1]) for row in range(len(inputs)))
    return mean_loss(model, rows), held_out_loss(model, dataset.measured_val)


def _thinned(steps: list[StepEvent]) -> list[StepEvent]:
    """At most `_MOST_STEPS` of the steps, evenly spread: the file of a long run is no larger than a short one's."""
    return steps[:: max(1, math.ceil(len(steps) / _MOST_STEPS))]


def proof_table(kept: dict[str, Any]) -> str:
    """The proof of learning as a Markdown table."""
    lines = ["| predictor | validation loss, nats/token | bits/byte |", "|---|---:|---:|"]
    for row in kept["proof"]["rows"]:
        name = title(row["name"])
        name = f"**{name}**" if row["name"] == "this model" else name
        lines.append(f"| {name} | {row['nats']:.3f} | {row['bits_per_byte']:.3f} |")
    return "\n".join(lines)


def block(kept: dict[str, Any]) -> str:
    """What the README shows of a recorded run."""
    curve = kept["curve"]
    random, trained = (kept["proof"]["samples"][0][which] for which in ("random", "trained"))
    prompt = kept["proof"]["samples"][0]["prompt"]
    noise = "".join(c if " " <= c <= "~" else "·" for c in random)[:120]
    minutes, seconds = divmod(round(kept["seconds"]), 60)
    return "\n".join(
        [
            f"On {kept['machine']}, {kept['parameters']:,} parameters, {curve[-1]['step']:,} steps in "
            f"{minutes} min {seconds} s:",
            f"validation loss {curve[0]['val_loss']:.3f} → {curve[-1]['val_loss']:.3f} nats/token, perplexity "
            f"{math.exp(curve[0]['val_loss']):.0f} → {math.exp(curve[-1]['val_loss']):.1f}.",
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
    """A page with its blocks filled from the recorded runs they name."""

    def fill(match: re.Match[str]) -> str:
        kept = read_kept(match["name"], folder)
        if kept is None:
            return match["open"] + match["close"]
        filling = BLOCKS[match["kind"]] if match["kind"] else block
        return match["open"] + filling(kept) + match["close"]

    return _BLOCK.sub(fill, page)


def read_kept(name: str, folder: Path = KEPT_FOLDER) -> dict[str, Any] | None:
    """A recorded run with its name, or None where there is none of that name."""
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
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m tools.recorded_runs", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    keeping = commands.add_parser("keep")
    keeping.add_argument("run", type=Path)
    keeping.add_argument("out", type=Path)
    keeping.add_argument("--machine", required=True)
    untrained = commands.add_parser("random")
    untrained.add_argument("out", type=Path)
    rendering = commands.add_parser("render")
    rendering.add_argument("pages", nargs="+", type=Path)
    options = parser.parse_args()
    if options.command == "keep":
        _write(keep(RunDirectory(options.run), options.machine), options.out)
    elif options.command == "random":
        from tools.untrained import random_baselines

        _write(random_baselines(RANDOM_PRESETS), options.out)
    else:
        for page in options.pages:
            text = page.read_text(encoding="utf-8")
            page.write_text(render(text), encoding="utf-8")
            for name, picture in pictures(text).items():
                (page.parent / "pictures" / name).write_text(picture, encoding="utf-8")


def _write(kept: dict[str, Any], out: Path) -> None:
    out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
