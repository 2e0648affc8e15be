"""`doctor`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from trickster_engine.cli.arguments import Subcommands, add_json, print_json


def add_commands(commands: Subcommands) -> None:
    """Register the commands of this file."""
    doctor = commands.add_parser("doctor", help="list the devices and packages of this machine, and what is missing")
    add_json(doctor)
    doctor.add_argument("--python", default=sys.executable, metavar="PATH", help="check another interpreter")
    doctor.add_argument("--limit", type=float, metavar="SECONDS", help="time limit for one probe")
    doctor.add_argument("--self-test", action="store_true", help="test the Tenstorrent backend on this machine's board")
    doctor.add_argument("--simulated", action="store_true", help="with --self-test: on a chip simulated by ttsim")
    doctor.add_argument("--report", type=Path, metavar="FILE", help="where --self-test writes its report")
    doctor.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    if options.self_test or options.simulated:
        return _self_test(options)
    from trickster_engine.doctor import diagnose

    report = diagnose(options.python, options.limit)
    if options.json:
        print_json(report.as_json())
    else:
        print(report.as_text())
    return 1 if any(finding.level == "problem" for finding in report.findings) else 0


def _self_test(options: argparse.Namespace) -> int:
    from trickster_engine.doctor.self_test import run_self_test

    path = options.report or Path(f"trickster-self-test-{time.strftime('%Y%m%d-%H%M%S')}.json")
    result = run_self_test(path, options.python, simulated=options.simulated)
    if options.json:
        print_json(result.as_json())
    else:
        print(f"{result.as_text()}\nReport: {path}")
    return 0 if result.passed else 1
