"""`python -m tests.benchmarks.predictions OUT.json`: what the estimate says of five runs, and how long they then take.

A fresh cache is calibrated, all five times are asked for, and then each config is trained by the command line, so that
no run teaches the estimate of another. Time is that of training, evaluations and checkpoints not counted, as in the
estimate: the sum over the log's steps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from trickster_engine.config import check, preset_text, set_values
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.runs import read_events

# Name, preset, and what is changed. About half a minute each on two cores, nano a whole one.
RUNS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("pico", "pico", {"training_config.max_steps": "300"}),
    (
        "pico in fp32, AdamW, batches of 4",
        "pico",
        {
            "training_config.max_steps": "500",
            "training_config.batch_size": "4",
            "training_config.precision": "fp32",
            "training_config.optimizer": "adamw",
        },
    ),
    ("nano", "nano", {"training_config.max_steps": "20", "training_config.log_interval": "1"}),
    (
        "nano in fp32, context of 128",
        "nano",
        {
            "training_config.max_steps": "25",
            "training_config.precision": "fp32",
            "training_config.gradient_accumulation_steps": "1",
            "training_config.log_interval": "5",
            "model_config.max_seq_len": "128",
        },
    ),
    (
        "two wide blocks, Muon",
        "pico",
        {
            "training_config.max_steps": "80",
            "training_config.batch_size": "8",
            "model_config.hidden_dim": "384",
            "model_config.mlp_dim": "1152",
            "model_config.num_layers": "2",
            "model_config.num_heads": "6",
            "model_config.max_seq_len": "256",
        },
    ),
)


def trickster(folder: Path, *arguments: str) -> str:
    """Run the command line in a folder, with the cache in there."""
    environment = {**os.environ, "TRICKSTER_CACHE_DIR": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "trickster_engine", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=environment,
    ).stdout


def write_config(folder: Path, preset: str, changes: dict[str, str]) -> tuple[Path, Plan]:
    """A config of a preset that trains without a look at the held-out text on its way."""
    steps = changes["training_config.max_steps"]
    quiet = {"training_config.eval_interval": steps, "training_config.save_interval": steps}
    short = {"training_config.warmup_steps": "2", "device_config.device_type": "cpu"}
    text = set_values(preset_text(preset), {**quiet, **short, **changes})
    plan = check(text).plan
    assert plan is not None
    path = folder / f"run-{len(list(folder.glob('run-*.yaml'))) + 1}.yaml"
    path.write_text(text, encoding="utf-8")
    return path, plan


def seconds_of(run: Path, plan: Plan) -> float:
    """Seconds of training in a run's log."""
    seconds, before = 0.0, 0
    for event in read_events(run / "events.jsonl")[0]:
        if event["kind"] == "step":
            seconds += (event["step"] - before) * tokens_per_step(plan) / event["tokens_per_s"]
            before = event["step"]
    assert before == plan.training.max_steps
    return seconds


def main() -> None:
    """Ask, train, compare, and write the table's figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    table: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        configs = [write_config(folder, preset, changes) for _, preset, changes in RUNS]
        trickster(folder, "estimate", str(configs[0][0]), "--calibrate")
        times = [json.loads(trickster(folder, "estimate", str(path), "--json"))["time"] for path, _ in configs]
        for (name, _, _), (path, plan), time in zip(RUNS, configs, times, strict=True):
            assert time["source"] == "estimated"
            trickster(folder, "train", str(path), "--run-dir", str(folder / path.stem))
            actual = seconds_of(folder / path.stem, plan)
            table.append(
                {
                    "run": name,
                    "parameters": count_parameters(plan.model).total,
                    "steps": plan.training.max_steps,
                    "predicted_s": time["seconds"],
                    "actual_s": actual,
                }
            )
            print(f"{name}: predicted {time['seconds']:.1f} s, took {actual:.1f} s: {time['seconds'] / actual:.2f}")
    out.write_text(json.dumps({"runs": table}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
