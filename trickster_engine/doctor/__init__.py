"""`trickster doctor`: what is on this machine, what would run, and the next step for each thing that is missing.

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
    if probes["package"].get("ttml") and not probes["package"].get("unrelated"):
        held = any(board["holders"] for board in probes["boards"].get("boards", []))
        if not held:  # importing ttml may wait for a held board for ever
            probes["import_ttml"] = run_probe("import_ttml", python, limit)
            if probes["import_ttml"].get("imported") and probes["boards"].get("boards"):
                probes["count_devices"] = run_probe("count_devices", python, limit)
    return judge(probes)
