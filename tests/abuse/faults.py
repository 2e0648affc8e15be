"""Faults in the file system: what `faults.c` can do to a process, and a process to do it to.

`Host` keeps one Python process that has loaded torch and the engine; every command line runs in a fork of it, so that a
case costs no new start of Python. See `host.py` for the other side.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("faults.c")
#: Everything that changes what lies on the disk, in the names of `faults.c`.
CHANGES = ("open", "write", "rename", "unlink", "rmdir", "mkdir", "truncate", "link", "symlink")
#: The steps in which one state of a folder becomes the next.
STEPS = ("rename", "unlink", "rmdir", "mkdir", "truncate", "fsync", "link", "symlink")


def compiler() -> str | None:
    """A C compiler's path."""
    return shutil.which("cc") or shutil.which("gcc")


def why_not() -> str | None:
    """Why faults cannot be injected here, or None."""
    if not sys.platform.startswith("linux"):
        return "the faults are injected with LD_PRELOAD, which is Linux'"
    if compiler() is None:
        return "no C compiler (cc or gcc) is here"
    return None


needs_faults = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "faults.so"
    command = [str(compiler()), "-Wall", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


@dataclass(frozen=True)
class Fault:
    """One mishap: at the `at`-th call among `ops` below `under`. Without `mode` the calls are only written down."""

    under: Sequence[Path]
    ops: Sequence[str] = CHANGES
    at: int = 0
    mode: str = "off"
    errno: int = 0
    trace: Path | None = None

    def __str__(self) -> str:
        trace = f";trace={self.trace}" if self.trace else ""
        under = ":".join(map(str, self.under))
        return f"under={under};ops={','.join(self.ops)};at={self.at};mode={self.mode};errno={self.errno}{trace}"


@dataclass(frozen=True)
class Call:
    """A line of a trace."""

    number: int
    op: str
    path: str


def read_trace(path: Path) -> list[Call]:
    """The calls that a process made, in order."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Call(int(number), op, name) for number, op, name in (line.split(" ", 2) for line in lines)]


@dataclass(frozen=True)
class Answer:
    """How a command ended: `code` is negative for a signal, None where it hung or was stopped by a fault."""

    code: int | None
    out: str
    err: str
    seconds: float
    stopped: bool = False

    @property
    def killed(self) -> bool:
        return self.code == -9

    @property
    def traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.err or (self.code is not None and -32 < self.code < 0)

    @property
    def error_code(self) -> str:
        """The code of the error that it ended with."""
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        return lines[-1].rpartition("[")[2].rstrip("]") if lines else "nothing"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed, one event a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


class Host:
    """Command lines of `trickster`, each in a fork of one process with the faults loaded."""

    def __init__(self, folder: Path, library: Path | None = None, *, namespace: bool = False, nice: int = 0) -> None:
        """`folder` receives output. `namespace`: with mounts of its own, which nobody else sees (see `inside`)."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        command = [sys.executable, "-m", "tests.abuse.host", str(folder)]
        if namespace:
            command = ["unshare", "--mount", "--propagation", "private", *command]
        if nice:
            command = ["nice", "-n", str(nice), *command]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRICKSTER_CACHE_DIR": str(folder / "cache")}
        if library is not None:
            environment["LD_PRELOAD"] = str(library)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        self.cache = folder / "cache"
        self._ask({})  # it has loaded what it needs

    def run(
        self,
        *arguments: str | Path,
        fault: Fault | None = None,
        kill_after: float | None = None,
        timeout: float = 120.0,
        cwd: Path | None = None,
        **environment: str,
    ) -> Answer:
        """One command line. With a fault of mode `stop` it may come back stopped: do something, then `go_on`."""
        return self._ask(
            {
                "arguments": [*map(str, arguments)],
                "fault": str(fault) if fault else "",
                "kill_after": kill_after,
                "timeout": timeout,
                "cwd": str(cwd or self._folder),
                "environment": environment,
            }
        )

    def go_on(self, timeout: float = 120.0) -> Answer:
        """Let the command go on that a fault had stopped."""
        return self._ask({"go_on": True, "timeout": timeout})

    def mount(self, place: Path, options: str) -> None:
        """Mount a file system in memory, seen by this host's commands only (or change the one that is there)."""
        self._ask({"mount": str(place), "options": options})

    def inside(self, path: Path) -> Path:
        """A path as this host's commands see it, from outside of its namespace."""
        return Path(f"/proc/{self._process.pid}/root") / path.relative_to("/")

    def _ask(self, command: dict[str, Any]) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the host has ended"
        return Answer(**json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
