"""`python -m tests.benchmarks.generations OUT.json MACHINE RUN ...`: models of which each taught the next.

The first run had no teacher; each of the others has `training_config.distill_from` the one before it. Losses are in
nats/character, whatever the tokenizer. How each began anew: `trickster train --preset best` in a folder of its own, and
for the next ones with `--set training_config.distill_from=RUN --set training_config.max_steps=4000`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from tools.recorded_picture import by_character, tokens_per_character
from tools.recorded_runs import keep
from trickster_engine.runs import RunDirectory
from trickster_engine.system.files import write_text_atomically


def generation(run: RunDirectory, machine: str) -> dict[str, Any]:
    """What a finished run says of itself, and its strided loss."""
    kept, plan = keep(run, machine), run.plan_if_readable()
    if plan is None:
        raise SystemExit(f"{run.path} has no config that can be read")
    nats = {row["name"]: row["nats"] * tokens_per_character(kept, "val") for row in kept["proof"]["rows"]}
    return {
        "taught": plan.training.distill_from is not None,
        "steps": kept["curve"][-1]["step"],
        "planned": plan.training.max_steps,
        "parameters": kept["parameters"],
        "precision": kept["precision"],
        "seconds": kept["seconds"],
        "val_loss": nats["this model"],
        "strided": nats["this model, strided"],
        "curve": [
            {name: round(value, 4) if isinstance(value, float) else value for name, value in point.items()}
            for point in by_character(kept)
        ],
    }


def main() -> None:
    """Write them in the order of their births."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.json")
    parser.add_argument("machine", metavar="MACHINE", help='in words: "two cores of …"')
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    arguments = parser.parse_args()
    found = [generation(RunDirectory(path), arguments.machine) for path in arguments.runs]
    kept = {"machine": arguments.machine, "generations": found}
    write_text_atomically(arguments.out, json.dumps(kept, indent=1) + "\n")
    for one in found:
        print({name: value for name, value in one.items() if name != "curve"})


if __name__ == "__main__":
    main()
