"""The recorded answer to "from scratch, or fine-tune?": the same budget from random weights and from trained ones.

`python -m tools.recorded_start BASE SCRATCH TUNED OUT --machine "two cores of …"` writes it from three finished runs:
one on other text, and two of the same config, of which the second starts from the first run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trickster_engine.config.plan import Plan
from trickster_engine.config.plan_values import changes, values_of
from trickster_engine.evaluation.report.history import history
from trickster_engine.model.checksums import file_sha256
from trickster_engine.runs import RunDirectory, RunIdentity


def keep(base: RunDirectory, scratch: RunDirectory, tuned: RunDirectory, machine: str) -> dict[str, Any]:
    """What is worth keeping of the three runs. Exits where they are not one budget from two beginnings."""
    runs = {"base": base, "scratch": scratch, "tuned": tuned}
    kept = {name: _kept(run) for name, run in runs.items()}
    (_, first, plan), (_, second, other) = (_begun(scratch), _begun(tuned))
    differing = {change.key for change in changes(values_of(plan), values_of(other))}
    if differing != {"model_config.init_from"} or first.data["fingerprint"] != second.data["fingerprint"]:
        raise SystemExit(f"the two runs differ in more than where they begin: {sorted(differing)}")
    sums = {file_sha256(path) for path in base.path.glob("checkpoints/*/model.safetensors")}
    if second.initial.get("files", {}).get("model.safetensors") not in sums:
        raise SystemExit(f"{tuned.path} does not start from a checkpoint of {base.path}")
    return {"machine": machine, "parameters": first.parameters, **kept}


def _begun(run: RunDirectory) -> tuple[RunDirectory, RunIdentity, Plan]:
    plan, identity = run.begun()
    if run.summary().status != "finished":
        raise SystemExit(f"{run.path} is not a run that has finished")
    return run, identity, plan


def _kept(run: RunDirectory) -> dict[str, Any]:
    _, identity, plan = _begun(run)
    past = history(run.events_path, saved_only=True)
    return {
        "config": run.config_path.read_text(encoding="utf-8"),
        "corpus": plan.data.corpus,
        "train_tokens": identity.data["train_tokens"],
        "device": identity.device,
        "precision": identity.precision,
        "versions": identity.versions,
        "steps": past.step,
        "seconds": round(past.seconds, 1),
        "curve": [
            {
                "step": event["step"],
                "train_loss": round(event["train_loss"], 4),
                "val_loss": round(event["val_loss"], 4),
            }
            for event in past.evaluations
        ],
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.recorded_start", description=__doc__)
    for name in ("base", "scratch", "tuned"):
        parser.add_argument(name, type=lambda path: RunDirectory(Path(path)))
    parser.add_argument("out", type=Path)
    parser.add_argument("--machine", required=True)
    options = parser.parse_args()
    kept = keep(options.base, options.scratch, options.tuned, options.machine)
    options.out.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
