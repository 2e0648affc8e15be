"""`runs`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from trickster_engine.cli.arguments import DEFAULT_RUNS, Subcommands, add_json, print_json
from trickster_engine.runs import RunSummary, find_runs


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    listing = commands.add_parser("runs", help="list the runs below a folder, the newest last")
    listing.add_argument("folder", nargs="?", type=Path, default=DEFAULT_RUNS, help="default: runs")
    add_json(listing)
    listing.set_defaults(run=_runs)


def _runs(options: argparse.Namespace) -> int:
    summaries = sorted((run.summary() for run in find_runs(options.folder)), key=lambda summary: summary.created)
    if options.json:
        print_json({"runs": [{**asdict(summary), "path": str(summary.path)} for summary in summaries]})
        return 0
    if not summaries:
        print(f"No runs in {options.folder}. Start one with: trickster train CONFIG")
        return 0
    print(f"{'run':<24}{'status':<13}{'step':>16}{'val loss':>11}{'best':>9}")
    for summary in summaries:
        print(_row(summary))
    return 0


def _row(summary: RunSummary) -> str:
    steps = f"{summary.step:,}" + (f" of {summary.max_step:,}" if summary.max_step else "")
    losses = ["" if loss is None else f"{loss:.4f}" for loss in (summary.val_loss, summary.best_val_loss)]
    return f"{summary.id:<24}{summary.status:<13}{steps:>16}{losses[0]:>11}{losses[1]:>9}"
