"""`trickster doctor`: what is on this machine, what would run, and the next step for each thing that is missing.

Nothing here opens a board in the caller's process, and nothing takes longer than its time limit.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trickster_engine.doctor.probe import LIMITS, run_probe
from trickster_engine.doctor.report import Finding, Report, judge

__all__ = ["Finding", "Report", "diagnose", "run"]

# Those that open the cluster run one after another, and only where there is something to open.
_QUIET = ("machine", "boards", "tt_smi", "torch", "package")


def diagnose(python: str = sys.executable, limit: float | None = None) -> Report:
    """Look at this machine with the given interpreter. `limit` replaces the time limit of every probe, in seconds."""
    with ThreadPoolExecutor(len(_QUIET)) as pool:
        probes = dict(zip(_QUIET, pool.map(lambda name: run_probe(name, python, limit), _QUIET), strict=True))
    if probes["package"].get("ttml") and not probes["package"].get("unrelated"):
        held = any(board["holders"] for board in probes["boards"].get("boards", []))
        if not held:  # importing ttml may wait for a held board for ever
            probes["import_ttml"] = run_probe("import_ttml", python, limit)
            if probes["import_ttml"].get("imported") and probes["boards"].get("boards"):
                probes["count_devices"] = run_probe("count_devices", python, limit)
    return judge(probes)


def run(arguments: Sequence[str]) -> int:
    """The command line of `trickster doctor`. Returns the exit code: 1 where something needs doing."""
    parser = argparse.ArgumentParser("trickster doctor", description="Check this machine for training.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--self-test", action="store_true", help="try the Tenstorrent backend on this machine's board")
    parser.add_argument("--report", type=Path, help="where --self-test writes its report")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to look at")
    parser.add_argument("--limit", type=float, help=f"seconds a probe may take (up to {max(LIMITS.values()):g})")
    options = parser.parse_args(arguments)
    if options.self_test:
        return _self_test(options.report, options.python, options.json)
    report = diagnose(options.python, options.limit)
    print(json.dumps(report.as_json(), indent=2) if options.json else report.as_text())
    return 1 if any(finding.level == "problem" for finding in report.findings) else 0


def _self_test(path: Path | None, python: str, as_json: bool) -> int:
    from trickster_engine.doctor.self_test import run_self_test

    path = path or Path(f"trickster-self-test-{time.strftime('%Y%m%d-%H%M%S')}.json")
    result = run_self_test(path, python)
    print(json.dumps(result.as_json(), indent=2) if as_json else f"{result.as_text()}\nReport: {path}")
    return 0 if result.passed else 1
