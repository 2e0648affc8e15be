"""`report`: what a run learned, as a page; and `tokens`: one sentence in three alphabets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trickster_engine.cli.arguments import (
    RUN_HELP,
    Subcommands,
    add_config,
    add_json,
    load_config,
    print_json,
    run_path,
)
from trickster_engine.cli.measuring import add_measures
from trickster_engine.runs import REPORT_FILE, RunDirectory, is_run_directory
from trickster_engine.system.files import write_text_atomically
from trickster_engine.system.os_errors import cannot_write


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    reporting = commands.add_parser("report", help="write the training report: what a run learned and what not")
    reporting.add_argument("path", type=run_path, metavar="RUN", help=RUN_HELP)
    reporting.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=f"write to this file instead of RUN/{REPORT_FILE}"
    )
    reporting.add_argument("--checkpoint", default="best", help="best (default), latest, final, or step-NNNNNN")
    add_measures(reporting)
    add_json(reporting)
    reporting.set_defaults(run=_report)

    tokens = commands.add_parser("tokens", help="show a sentence as tokens: bytes, characters and subwords")
    add_config(tokens)
    tokens.add_argument("text", metavar="TEXT", help="the sentence")
    add_json(tokens)
    tokens.set_defaults(run=_tokens)


def _report(options: argparse.Namespace) -> int:
    from trickster_engine.evaluation.item_measures import find_measure
    from trickster_engine.evaluation.report.page import render
    from trickster_engine.evaluation.report.study import study

    def say(words: str) -> None:
        # It takes a while; and standard output belongs to the result.
        print(f"{words} ...", file=sys.stderr, flush=True)

    if options.output is None and is_run_directory(options.path):
        RunDirectory(options.path).refuse_links()  # now rather than after minutes
    measures = {name: find_measure(name) for name in options.measures}
    result = study(options.path, options.checkpoint, say, measures)
    if options.json:
        print_json(result.as_json())
        if options.output is None:
            return 0
    target = options.output or options.path / REPORT_FILE
    try:
        write_text_atomically(target, render(result))
    except OSError as error:
        raise cannot_write(error, target, "choose another place with -o FILE") from error
    if not options.json:
        if result.overfitting:
            print(result.overfitting.words)
        print(result.verdict.words)
        print(f"Open in a browser: {target}")
    return 0


def _tokens(options: argparse.Namespace) -> int:
    from trickster_engine.evaluation.report.side_by_side import side_by_side

    loaded = load_config(options)
    views = side_by_side(loaded.plan, loaded.path.parent.resolve(), options.text)
    if options.json:
        print_json([view.as_json() for view in views])
        return 0
    for view in views:
        print(f"{view.kind} ({view.vocabulary:,} different tokens): {view.summary}")
        print("  " + view.drawn)
        if view.ids:
            print("  " + " ".join(map(str, view.ids)))
    return 0
