"""What the adversaries have in common on the command line: their options, a scratch folder with a host, the figures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.abuse.faults import Host, build, why_not

#: A folder and a host to what the figures are made of.
Work = Callable[[argparse.Namespace, Path, Host], dict[str, Any]]


def options_of(document: str | None, count: int | None = None, seed: bool = True) -> argparse.ArgumentParser:
    """The options that every adversary has. `count`: how many cases it makes where nobody says."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    if count is not None:
        parser.add_argument("count", nargs="?", type=int, default=count)
    if seed:
        parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    return parser


def run_as_command(parser: argparse.ArgumentParser, work: Work) -> int:
    """Do it in a scratch folder, print the figures and keep them; 1 where a fault was found, 2 where it cannot run."""
    options = parser.parse_args()
    if reason := why_not():
        print(f"Not here: {reason}.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="abuse-") as name:
        folder = Path(name)
        with Host(folder / "host", build(folder), nice=5) as host:
            began = time.monotonic()
            figures = work(options, folder, host)
            figures = {**figures, "seconds": round(time.monotonic() - began, 1)}
    faults = figures.pop("faults")
    figures["faults"] = faults
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in figures.items() if key != "faults"}, indent=2))
    return 1 if faults else 0
