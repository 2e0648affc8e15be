"""`python -m tests.benchmarks.first_step OUT`: how long `trickster train --preset pico` takes to its first step.

Writes JSON with the seconds from the command, of several starts after one that is not counted and leaves the kernels
compiled and the text prepared. docs/speed.md is rendered from it. Wants a quiet machine and Tiny Shakespeare in
TRICKSTER_CORPUS_DIR.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import machine
from trickster_engine.runs import RunDirectory, read_events

PRESET, STARTS = "pico", 15


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        starts = [start(Path(folder)) for _ in range(STARTS + 1)][1:]
    found = {"preset": PRESET, "machine": machine(), "starts": starts}
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def start(folder: Path) -> dict[str, float]:
    """Seconds from one start to where the run is there, its model is ready, it is measured, and its first step made."""
    settings = [f"training_config.{setting}" for setting in ("max_steps=2", "log_interval=1", "warmup_steps=0")]
    command = [sys.executable, "-m", "trickster_engine", "train", "--preset", PRESET]
    begin = time.time()
    done = subprocess.run(
        [*command, *(part for setting in settings for part in ("--set", setting))],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    newest = max((folder / "runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)
    events: list[dict[str, Any]] = [dict(event) for event in read_events(RunDirectory(newest).events_path)[0]]

    def first(kind: str, status: str | None = None) -> float:
        at = next(event["t"] for event in events if event["kind"] == kind and event.get("status") == status)
        return round(float(at) - begin, 3)

    return {
        "loaded": first("status", "starting"),
        "prepared": first("status", "evaluating"),
        "measured": first("status", "training"),
        "first_step": first("step"),
    }


if __name__ == "__main__":
    sys.exit(main())
