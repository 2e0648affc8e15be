"""`class`: the runs of a class as one table."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from trickster_engine.cli.arguments import Subcommands, add_json, print_json
from trickster_engine.evaluation.class_table import MOST, ORDERS, as_csv, as_html, as_text, class_rows, in_order
from trickster_engine.system.files import write_text_atomically
from trickster_engine.system.os_errors import cannot_write

DESCRIPTION = """\
List the runs in a folder in which every student's runs lie, as folders of runs or as the run.json of each (which has no
loss), best first. Needs no network, no text and no checkpoint; what cannot be read gets a line that says why.
"""


def add_commands(commands: Subcommands) -> None:
    """Register the command of this file."""
    parser = commands.add_parser("class", help="show a class's runs as one table", description=DESCRIPTION)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder with the students' runs")
    parser.add_argument("--sort", choices=ORDERS, default="loss", help="default: loss, the lowest first")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page for a browser")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table for a spreadsheet")
    add_json(parser)
    parser.set_defaults(run=_class)


def _class(options: argparse.Namespace) -> int:
    rows = in_order(class_rows(options.folder), options.sort)
    if len(rows) == MOST:
        print(f"note: only the first {MOST:,} are listed; name a folder further down for others.", file=sys.stderr)
    title = f"Runs of {options.folder.resolve().name}"
    for target, text in ((options.html, as_html(rows, title)), (options.csv, as_csv(rows))):
        if target is not None:
            try:
                write_text_atomically(target, text)
            except OSError as error:
                raise cannot_write(error, target, "choose another file") from error
    if options.json:
        print_json({"runs": [asdict(row) for row in rows]})
    elif rows:
        print(as_text(rows))
    else:
        print(f"No runs in {options.folder}.")
    return 0
