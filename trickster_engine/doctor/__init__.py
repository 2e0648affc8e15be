"""`trickster doctor`: what is on this machine, and what to do about each thing that is missing.

Nothing here opens a board in the caller's process, and nothing takes longer than its time limit.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from trickster_engine.doctor.probe import run_probe
from trickster_engine.doctor.report import Finding, Report, judge

__all__ = ["Finding", "Report", "diagnose"]

# Those that open the cluster run one after another, and only where there is something to open.
_QUIET = ("machine", "boards", "tt_smi", "torch", "package")


def diagnose(python: str = sys.executable, limit: float | None = None) -> Report:
    """Look at this machine with the given interpreter. `limit` replaces the time limit of every probe, in seconds."""
    with ThreadPoolExecutor(len(_QUIET)) as pool:
        probes = dict(zip(_QUIET, pool.map(lambda name: run_probe(name, python, limit), _QUIET), strict=True))
    package, stands_in = probes["package"], probes["machine"].get("substitute") or {}
    boards = probes["boards"].get("boards", [])
    if any(board["holders"] for board in boards) and not stands_in:  # importing ttml may wait for a held board for ever
        return judge(probes)
    if package.get("ttml") and not package.get("unrelated"):
        probes["import_ttml"] = run_probe("import_ttml", python, limit)
    usable = probes.get("import_ttml", {}).get("imported") or (package.get("ttnn") and not package.get("ttml"))
    startable = not any(lack["needed"] for lack in stands_in.get("lacking", []))
    if usable and startable and (boards or stands_in):
        probes["count_devices"] = run_probe("count_devices", python, limit)
    return judge(probes)
