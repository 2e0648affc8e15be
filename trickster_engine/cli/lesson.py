"""`break` and `diagnose`: a run that is wrong on purpose, and what a run's own figures say is wrong with it."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from trickster_engine.cli.arguments import (
    RUN_HELP,
    Subcommands,
    add_json,
    add_overrides,
    print_json,
    read_overrides,
    run_path,
    with_overrides,
)
from trickster_engine.cli.console import ConsoleWatcher
from trickster_engine.cli.training import closing
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.errors import EXIT_STOPPED, TricksterError
from trickster_engine.runs import RunDirectory, pieces
from trickster_engine.runs.diagnosis import DIAGNOSED, FAULTS, diagnose
from trickster_engine.system.files import in_command

#: The smallest preset, made smaller, so that there is something to see after a minute.
_SMALL = {
    "model_config.max_seq_len": "64",
    "training_config.batch_size": "16",
    "training_config.max_steps": "300",
    "training_config.warmup_steps": "15",
    "training_config.optimizer": "adamw",
    "training_config.learning_rate": "0.002",
    "training_config.log_interval": "10",
    "training_config.eval_interval": "50",
    "training_config.save_interval": "300",
    "device_config.device_type": "cpu",
    "sampling_config.max_new_tokens": "100",
}

BREAK = """\
Train a small model in which one thing is wrong, for the lesson. Without a name, chance chooses the fault, and only
run.json says which. Watch the run, name what is wrong, then compare with: trickster diagnose RUN
"""
DIAGNOSE = """\
Read a run's losses and what its layers did (training_config.layer_statistics), and name what is wrong. It needs
neither the text nor a checkpoint.
"""


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    breaking = commands.add_parser("break", help="train a small model that is wrong on purpose", description=BREAK)
    breaking.add_argument("fault", nargs="?", choices=tuple(FAULTS), help="what is wrong; default: chance chooses")
    add_overrides(breaking)
    breaking.set_defaults(run=_break)

    diagnosing = commands.add_parser("diagnose", help="name what is wrong with a run", description=DIAGNOSE)
    diagnosing.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    add_json(diagnosing)
    diagnosing.set_defaults(run=_diagnose)


def _break(options: argparse.Namespace) -> int:
    from trickster_engine.training.faults import FAR_TOO_HIGH
    from trickster_engine.training.start import start

    fault = options.fault or random.SystemRandom().choice(list(FAULTS))
    rate = {"training_config.learning_rate": str(FAR_TOO_HIGH)} if fault == "rate-too-high" else {}
    text = with_overrides(set_values(preset_text("pico"), {**_SMALL, **rate}), read_overrides(options))
    plan = check(text, Path.cwd()).plan
    if plan is None:
        raise TricksterError("config-invalid", "The changed preset has errors.", "Check what --set changes.")
    with closing(ConsoleWatcher()) as watcher:
        run, outcome = start(Path("broken.yaml"), text, plan, [watcher], fault=fault)
    print(
        f"\nSomething is wrong with this run. Name it, then compare: trickster diagnose {in_command(run.path)}",
        flush=True,
    )
    return EXIT_STOPPED if outcome == "stopped" else 0


def _diagnose(options: argparse.Namespace) -> int:
    run = RunDirectory(options.path)
    plan, _ = run.begun()
    events = [event for piece in pieces(run.events_path) for event in piece.events if event["kind"] in DIAGNOSED]
    found = diagnose(plan, events)
    layers = any(event["kind"] == "layers" for event in events)
    if options.json:
        print_json({"layers": layers, "findings": [finding._asdict() for finding in found]})
    elif found:
        print("\n\n".join(f"{finding.message} [{finding.code}]\n{finding.advice}" for finding in found))
    elif layers:
        print("Nothing is wrong: no layer left its usual range, and the losses fit together.")
    else:
        print("Nothing can be said: this run has not measured its layers (training_config.layer_statistics).")
    return 0
