"""`python -m tests.benchmarks.generations OUT.json MACHINE RUN ...`: models that teach later ones.

The first run had no teacher; each of the others names some of those before it with `training_config.distill_from`.
Losses are in nats/character, whatever the tokenizer. How each began anew: `trickster train --preset best` in a folder
of its own, and for the next ones with `--set training_config.distill_from=RUN --set training_config.max_steps=4000`,
or `distill_from=[RUN, RUN]`, or with `training_config.r_drop=1.0` as well.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.recorded_picture import by_character, tokens_per_character
from tools.recorded_runs import keep
from trickster_engine.config import Plan
from trickster_engine.data.batches import validation_windows
from trickster_engine.evaluation.compare import token_losses
from trickster_engine.inference.load import teachers_of
from trickster_engine.runs import RunDirectory, RunIdentity
from trickster_engine.runs.directory import TEACHER_FOLDERS
from trickster_engine.runs.model_copy import copied_from
from trickster_engine.runs.trained_text import trained_text
from trickster_engine.system.files import write_text_atomically


def generation(run: RunDirectory, machine: str, earlier: Sequence[RunDirectory] = ()) -> dict[str, Any]:
    """What a finished run says of itself, its strided loss, and by which of the `earlier` ones it was taught."""
    kept, plan, identity = keep(run, machine), run.plan_if_readable(), run.identity()
    if plan is None or identity is None:
        raise SystemExit(f"{run.path} has no config that can be read")
    nats = {row["name"]: row["nats"] * tokens_per_character(kept, "val") for row in kept["proof"]["rows"]}
    several = len(plan.training.teachers) > 1
    return {
        "taught_by": [_number(run, folder, earlier) for folder in TEACHER_FOLDERS[: len(plan.training.teachers)]],
        "r_drop": plan.training.r_drop,
        "steps": kept["curve"][-1]["step"],
        "planned": plan.training.max_steps,
        "parameters": kept["parameters"],
        "precision": kept["precision"],
        "seconds": kept["seconds"],
        "val_loss": nats["this model"],
        "strided": nats["this model, strided"],
        **({"mean_of_teachers": _mean_loss(run, plan, identity)} if several else {}),
        "curve": [
            {name: round(value, 4) if isinstance(value, float) else value for name, value in point.items()}
            for point in by_character(kept)
        ],
    }


def _mean_loss(run: RunDirectory, plan: Plan, identity: RunIdentity) -> float:
    """The validation loss of what a run is taught, the mean of its teachers' probabilities, in nats/character."""
    dataset = trained_text(run, plan, identity)
    teachers = teachers_of(run, plan, dataset.tokenizer)
    total, count = 0.0, 0
    for inputs, targets in validation_windows(dataset.measured_val, plan.model.max_seq_len, 8):
        losses = np.stack([token_losses(teacher, inputs, targets) for teacher in teachers])
        total -= float(np.log(np.exp(-losses).mean(0)).sum())
        count += targets.size
    return total / count / dataset.characters_per_token


def _number(run: RunDirectory, folder: str, earlier: Sequence[RunDirectory]) -> int:
    """Of which of the earlier runs, counted from 1, a teacher is the copy."""
    origin = Path(copied_from(run, folder)["path"])
    numbers = [number for number, one in enumerate(earlier, start=1) if origin.is_relative_to(one.path.resolve())]
    if not numbers:
        raise SystemExit(f"{run.path} was taught by {origin}, which is none of the runs before it")
    return numbers[0]


def main() -> None:
    """Write them in the order of their births."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("machine", metavar="MACHINE", help='in words: "two cores of …"')
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    arguments = parser.parse_args()
    runs = [RunDirectory(path) for path in arguments.runs]
    found = [generation(run, arguments.machine, runs[:index]) for index, run in enumerate(runs)]
    kept = {"machine": arguments.machine, "generations": found}
    write_text_atomically(arguments.out, json.dumps(kept, indent=1) + "\n")
    for one in found:
        print({name: value for name, value in one.items() if name != "curve"})


if __name__ == "__main__":
    main()
