"""`python -m tests.benchmarks.first_start [REVISION …]`: what a newcomer waits for and downloads, by part.

Each revision (the commit checked out, if none is named) is cloned, and `make train` is run in the clone with an empty
home. A shell that make is told to use times each of its commands; `trickster quickstart` is timed to its first step and
then stopped. Then the same for Set Up Environment: the commands of `extension/src/python/managedEnvironment.ts`, on a
machine without uv. Writes JSON. Wants a quiet machine and a network; takes some minutes for each.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trickster_engine.runs import read_events

ROOT = Path(__file__).resolve().parents[2]
_SHELL = """#!{python}
import json, os, subprocess, sys, time
begin = time.time()
code = subprocess.run(["/bin/sh", *sys.argv[1:]]).returncode
with open(os.environ["TIMES"], "a") as times:
    times.write(json.dumps([sys.argv[-1], time.time() - begin]) + "\\n")
sys.exit(code)
"""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"])
    readings = {}
    for revision in parser.parse_args().revisions:
        with tempfile.TemporaryDirectory() as folder:
            readings[revision] = {"make train": train(revision, Path(folder))}
    with tempfile.TemporaryDirectory() as folder:
        readings["working tree"] = {"Set Up Environment": set_up(Path(folder))}
    print(json.dumps(readings, indent=2))
    return 0


def train(revision: str, folder: Path) -> dict[str, Any]:
    """Seconds of each command of `make train`, and megabytes of what it leaves."""
    clone, home, shell, times = folder / "clone", folder / "home", folder / "shell", folder / "times"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run(["git", "checkout", "--quiet", revision], cwd=clone, check=True)
    home.mkdir()
    times.touch()
    shell.write_text(_SHELL.format(python=sys.executable), encoding="utf-8")
    shell.chmod(shell.stat().st_mode | stat.S_IXUSR)
    begin = time.time()
    making = subprocess.Popen(
        ["make", f"SHELL={shell}", f"PYTHON={sys._base_executable}", "train"],  # type: ignore[attr-defined]
        cwd=clone, env=newcomer(home, TIMES=str(times)), stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    first = first_step(clone, making)
    if sys.platform != "win32":
        os.killpg(making.pid, signal.SIGINT)  # the run saves and ends, as at a person's Ctrl-C
    making.wait()
    commands = [json.loads(line) for line in times.read_text(encoding="utf-8").splitlines()]
    parts = {
        command: round(seconds, 1)
        for command, seconds in commands
        if seconds >= 0.05 and not command.endswith("quickstart")
    }
    installing = sum(parts.values())
    return {
        "commit": said("git", "rev-parse", "--short", revision),
        "seconds": {**parts, "quickstart to the first step": round(first - begin - installing, 1)},
        "seconds to the first step": round(first - begin, 1),
        "megabytes": {
            "downloaded packages": megabytes(home / ".cache" / "pip") + megabytes(home / ".cache" / "uv"),
            "environment": megabytes(clone / ".venv"),
            "of it PyTorch": sum(megabytes(path) for path in clone.glob(".venv/lib/python3*/site-packages/torch")),
            "cache of prepared text": megabytes(home / ".cache" / "trickster"),
        },
    }


def first_step(clone: Path, making: subprocess.Popen[bytes]) -> float:
    """When the first step of the run in a clone was made, in seconds since 1970."""
    while making.poll() is None:
        for events in clone.glob("runs/*/events.jsonl"):
            if steps := [event["t"] for event in read_events(events)[0] if event["kind"] == "step"]:
                return steps[0]
        time.sleep(0.2)
    raise SystemExit("make train ended before its first step")


def set_up(folder: Path) -> dict[str, Any]:
    """The same for the extension's environment."""
    home, environment = folder / "home", folder / "environment"
    home.mkdir()
    requirements = folder / "training-requirements.txt"
    requirements.write_bytes((ROOT / "dist" / "training-requirements.txt").read_bytes())
    python = str(environment / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--no-input"]
    uv = [str(environment / "bin" / "uv"), "pip", "install", "--python", python, "-r", str(requirements)]
    seconds = {"creating a virtual environment": timed(home, sys._base_executable, "-m", "venv", str(environment))[0]}  # type: ignore[attr-defined]
    seconds["downloading the installer"], _ = timed(home, *pip, "uv")
    seconds["installing with uv"], worked = timed(home, *uv, "--torch-backend", "auto")
    if not worked:
        seconds["that failed; installing with pip"], worked = timed(home, *pip, "-r", str(requirements))
    seconds["starting PyTorch"], starts = timed(home, python, "-c", "import torch; torch.ones(2).sum()")
    assert worked and starts
    return {
        "seconds": {part: round(value, 1) for part, value in seconds.items()},
        "seconds in all": round(sum(seconds.values()), 1),
        "megabytes": {
            "downloaded packages": megabytes(home / ".cache" / "pip") + megabytes(home / ".cache" / "uv"),
            "environment": megabytes(environment),
        },
    }


def timed(home: Path, *command: str) -> tuple[float, bool]:
    """Seconds that a command took, and whether it worked."""
    begin = time.perf_counter()
    done = subprocess.run(command, env=newcomer(home), stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begin, done.returncode == 0


def newcomer(home: Path, **more: str) -> dict[str, str]:
    """An environment in which nothing has been cached or set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "TRICKSTER_", "UV_"))}
    return {**kept, "HOME": str(home), **more}


def megabytes(folder: Path) -> int:
    """Disk space of a folder's files."""
    if not folder.exists():
        return 0
    return int(said("du", "-sm", str(folder)).split()[0])


def said(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
