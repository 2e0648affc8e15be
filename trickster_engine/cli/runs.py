"""`runs`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from trickster_engine.cli.arguments import DEFAULT_RUNS, Subcommands, add_json, print_json
from trickster_engine.evaluation.report.names import best_ngram
from trickster_engine.runs import EVENTS_FILE, RunSummary, find_runs
from trickster_engine.runs.events import begun, left_out_words
from trickster_engine.system.files import in_command

#: Runs that fit on the screens a person looks back over. Who pipes the list gets the whole.
SHOWN = 50


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    listing = commands.add_parser("runs", help="list the runs in a folder, newest last")
    listing.add_argument("folder", nargs="?", type=Path, default=DEFAULT_RUNS, help="default: runs")
    listing.add_argument("--all", action="store_true", help=f"show more than the newest {SHOWN} in a terminal")
    add_json(listing)
    listing.set_defaults(run=_runs)


def _runs(options: argparse.Namespace) -> int:
    runs = list(find_runs(options.folder))
    older = 0
    if len(runs) > SHOWN and sys.stdout.isatty() and not (options.all or options.json):
        older = len(runs) - SHOWN
        runs = sorted(runs, key=lambda run: begun(run.events_path))[older:]
    summaries = sorted((run.summary() for run in runs), key=lambda summary: summary.created)
    if options.json:
        print_json({"runs": [{**asdict(summary), "path": str(summary.path)} for summary in summaries]})
    elif not summaries:
        print(f"No runs in {options.folder}. Start one with: trickster train CONFIG")
    else:
        if older:
            print(f"{older:,} older runs are not shown. To see all: trickster runs --all {in_command(options.folder)}")
        print(f"{'run':<24}{'status':<13}{'step':>16}{'val loss':>11}{'best':>9}{'bits/byte':>11}{'best n-gram':>13}")
        print("\n".join(map(_row, summaries)))
    sys.stdout.flush()
    for summary in summaries:
        if summary.actions:
            print(f"{summary.id}: {', '.join(summary.actions)}", file=sys.stderr)
        for trouble in summary.troubles:
            print(f"{summary.id}: {trouble}", file=sys.stderr)
        if summary.left_out:
            print(f"{summary.id}: in {EVENTS_FILE}, {left_out_words(summary.left_out)}", file=sys.stderr)
    return 0


def _row(summary: RunSummary) -> str:
    steps = f"{summary.step:,}" + (f" of {summary.max_step:,}" if summary.max_step else "")
    found = (summary.val_loss, summary.best_val_loss, summary.best_bits_per_byte)
    losses = ["" if loss is None else f"{loss:.4f}" for loss in found]
    bar = best_ngram(summary.baselines)
    counting = "" if bar is None else f"{bar[1]:.4f}"
    return f"{summary.id:<23} {summary.status:<13}{steps:>16}{losses[0]:>11}{losses[1]:>9}{losses[2]:>11}{counting:>13}"
