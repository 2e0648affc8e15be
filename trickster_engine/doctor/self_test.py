"""The acceptance on a board, or on a simulated chip, and the report that one attaches to an issue.

`python -m trickster_engine.doctor.self_test REPORT.json` runs it in this process; `run_self_test` gives it one of its
own and a time limit, because a board that hangs cannot be interrupted from within. What is tried: `acceptance.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trickster_engine.backends.ttml.package import checkout_of
from trickster_engine.doctor.acceptance import BOARD_PLAN, SIMULATED_PLAN, Acceptance, Check
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import write_json_atomically
from trickster_engine.system.programs import python_command
from trickster_engine.system.substitutes import (
    NO_MACRO_VARIABLE,
    SIMULATOR_VARIABLE,
    SLOW_DISPATCH_VARIABLE,
    lacking,
    substitute,
)
from trickster_engine.system.tenstorrent import boards, driver_version

#: Kernels are compiled for the first time, and a board may be slow: a quarter of an hour is generous.
LIMIT_SECONDS = 900.0
#: A simulated chip may take minutes a step.
SIMULATED_LIMIT_SECONDS = 8 * 3600.0


@dataclass
class SelfTest:
    """All that was tried, and on what."""

    passed: bool
    silicon: bool  # whether this says anything about a board
    remark: str
    machine: dict[str, Any]
    checks: list[Check]

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON."""
        return {"schema": 1, **asdict(self)}

    def as_text(self) -> str:
        """The result for a person."""
        lines = [
            f"[{'ok' if check.passed else '!!'}] {check.name}: {check.message} ({check.seconds:.1f} s)"
            for check in self.checks
        ]
        failed = [check.name for check in self.checks if not check.passed]
        verdict = "All passed." if self.passed else f"Not passed: {', '.join(failed)}."
        return "\n".join([*lines, "", verdict, self.remark])


def run_self_test(
    report: Path, python: str = sys.executable, limit: float | None = None, *, simulated: bool = False
) -> SelfTest:
    """Run the acceptance in a process of its own and write the report, whatever happens.

    `simulated` insists on a simulated chip, and sets for it what it needs and is not set. Raises TricksterError where
    there is none.
    """
    environment = dict(os.environ)
    if simulated:
        _require_simulator(environment)
    stands_in = substitute(environment)
    slow = stands_in is not None and stands_in.simulates
    seconds = limit or (SIMULATED_LIMIT_SECONDS if slow else LIMIT_SECONDS)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    process = subprocess.Popen(
        python_command(__name__, report, python=python),
        stdin=subprocess.DEVNULL,
        start_new_session=os.name == "posix",
        env=environment,
    )
    try:
        process.wait(timeout=seconds)
        how = f"ended with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        how = f"did not finish within {seconds:g} s"
        process.terminate()  # lets it close the device; a hanging driver will not hear it
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            how += "" if stands_in else ". The board may need: tt-smi -r"
    result = _read(report)
    if result is None or "passed" not in result:
        checks = [Check(**check) for check in (result or {}).get("checks", [])]
        checks.append(Check("process", False, f"The self-test's process {how}.", seconds))
        silicon, remark = _silicon(environment)
        test = SelfTest(False, silicon, remark, _machine({}, environment), checks)
        write_json_atomically(report, test.as_json())
        return test
    return SelfTest(
        **{key: value for key, value in result.items() if key not in ("schema", "checks")},
        checks=[Check(**check) for check in result["checks"]],
    )


def acceptance(say: Callable[[str], None], progress: Callable[[list[Check]], None] = lambda _: None) -> SelfTest:
    """Try everything, in this process."""
    stands_in = substitute()
    plan = SIMULATED_PLAN if stands_in and stands_in.simulates else BOARD_PLAN
    trial = Acceptance(plan, say, progress)
    try:
        checks = trial.run()
    finally:
        trial.close()
    silicon, remark = _silicon(os.environ)
    machine = _machine(trial.versions, os.environ)
    return SelfTest(all(check.passed for check in checks), silicon, remark, machine, checks)


def _require_simulator(environment: dict[str, str]) -> None:
    stands_in = substitute(environment)
    if stands_in is None or not stands_in.simulates:
        raise TricksterError(
            "simulator-not-set",
            f"--simulated tests a simulated chip, and {SIMULATOR_VARIABLE} is not set.",
            f"Set {SIMULATOR_VARIABLE} to the path of libttsim_wh.so; docs/tenstorrent.md lists what else it needs.",
        )
    for variable in (SLOW_DISPATCH_VARIABLE, NO_MACRO_VARIABLE):
        environment.setdefault(variable, "1")
    for lack in lacking(stands_in, environment):
        if lack.needed:
            raise TricksterError(lack.code, lack.message, lack.advice)


def _silicon(environment: Mapping[str, str]) -> tuple[bool, str]:
    """Whether a pass says anything about a board, in words."""
    if stands_in := substitute(environment):
        what = "a simulated chip" if stands_in.simulates else "a program"
        return False, (
            f"{stands_in.variable} is set: this ran on {what} and not on a board. Please attach this report to an "
            "issue anyway: every tested build helps."
        )
    if not boards():
        return (
            False,
            "No Tenstorrent board is in this machine: the self-test did not run on a board and proves nothing about "
            "one.",
        )
    return True, "Please attach this report to an issue, passed or not: every tested board and build helps."


def _machine(versions: dict[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    stands_in = substitute(environment)
    return {
        "system": platform.platform(),
        "driver": driver_version(),
        "boards": [{"card_type": board.card_type, "firmware": board.firmware} for board in boards()],
        "simulated": stands_in.label if stands_in else None,
        "simulator": _fingerprint(Path(stands_in.value)) if stands_in else None,
        "metal_checkout": checkout_of(environment.get("TT_METAL_HOME")),
        "versions": versions,
    }


def _fingerprint(library: Path) -> dict[str, str]:
    """A library by name and sum: what a report says, somebody else can look for. Nothing of the path is told."""
    try:
        digest = hashlib.sha256(library.read_bytes()).hexdigest()
    except OSError:
        digest = ""
    return {"name": library.name, "sha256": digest}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def main(report: Path) -> int:
    """Run in this process; the report is written after every check, so that a hang leaves what came before it."""

    def leave(_number: int, _frame: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)
    result = acceptance(
        lambda line: print(line, file=sys.stderr, flush=True),
        lambda checks: write_json_atomically(report, {"schema": 1, "checks": [asdict(check) for check in checks]}),
    )
    write_json_atomically(report, result.as_json())
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
