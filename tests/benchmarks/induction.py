"""`python -m tests.benchmarks.induction docs/inside/induction.json`: the birth of an induction head.

A model of two layers is trained by the command line on a planted corpus: random strings, each written three times. From
the second time on, a model that looks back to what followed the same letter knows the next one (Olsson et al. 2022,
arXiv:2209.11895); nothing else can be learned. Every checkpoint is kept, and `history` says what the heads did at each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from trickster_engine.inference.inside_parts import history
from trickster_engine.runs import find_runs

LETTERS = "abcdefghijklmnopqrstuvwxyz01234"
BORN_AT = 0.5
CONFIG = """\
model_config: {{vocab_size: 32, hidden_dim: 64, num_layers: 2, num_heads: 4, mlp_dim: 128, max_seq_len: 48}}
training_config:
  batch_size: 32
  gradient_accumulation_steps: 1
  max_steps: {steps}
  warmup_steps: 20
  optimizer: muon
  muon_learning_rate: 0.02
  learning_rate: 3e-3
  eval_interval: {interval}
  save_interval: {interval}
  log_interval: {interval}
  keep_best_n: 100
device_config: {{device_type: cpu}}
data_config: {{corpus: repeats.txt, tokenizer: char}}
sampling_config: {{prompt: "abc", max_new_tokens: 10}}
"""


def corpus(characters: int, seed: int = 0) -> str:
    """Lines of random strings of 5 to 24 letters, each three times, the same for the same seed."""
    chooser = random.Random(seed)
    lines: list[str] = []
    written = 0
    while written < characters:
        lines.append("".join(chooser.choices(LETTERS, k=chooser.randint(5, 24))) * 3 + "\n")
        written += len(lines[-1])
    return "".join(lines)


def trained(folder: Path, steps: int, interval: int) -> Path:
    """A run in a folder, trained as a person does it."""
    (folder / "repeats.txt").write_text(corpus(400_000), encoding="utf-8")
    config = folder / "repeats.trickster.yaml"
    config.write_text(CONFIG.format(steps=steps, interval=interval), encoding="utf-8")
    environment = {**os.environ, "TRICKSTER_CACHE_DIR": str(folder / "cache")}
    subprocess.run(
        [sys.executable, "-m", "trickster_engine", "train", str(config)],
        check=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    (run,) = find_runs(folder / "runs")
    return run.path


def born(run: Path) -> dict[str, Any]:
    """What the heads of a run did at each checkpoint, and when the first one was an induction head."""
    text = "".join(random.Random(1).choices(LETTERS, k=12)) * 3
    moments = []
    for moment in history({"path": str(run), "text": text}, lambda: False)["moments"]:
        best = max(moment["heads"], key=lambda head: float(head["induction"]))
        previous = max(float(head["previous"]) for head in moment["heads"])
        moments.append(
            {
                "step": moment["step"],
                "induction": round(best["induction"], 4),
                "head": f"{best['layer']}.{best['head']}",
                "previous": round(previous, 4),
                "loss_first_time": round(moment["repeat_first"], 4),
                "loss_second_time": round(moment["repeat_second"], 4),
            }
        )
    step = next((moment["step"] for moment in moments if moment["induction"] >= BORN_AT), None)
    return {"born_at_score": BORN_AT, "born_at_step": step, "moments": moments}


def main() -> None:
    """Train, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--interval", type=int, default=100)
    parser.add_argument("--run", type=Path, help="a run trained so already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = born(options.run or trained(Path(folder), options.steps, options.interval))
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for moment in found["moments"]:
        print(*(f"{name} {value}" for name, value in moment.items()))
    print("born at step", found["born_at_step"])


if __name__ == "__main__":
    main()
