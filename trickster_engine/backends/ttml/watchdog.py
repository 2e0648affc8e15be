"""Says so when a device stops answering. Runs as a process of its own.

A call into a board's driver that hangs keeps Python's interpreter lock, so no thread of the same process could speak
up. The watched process sends a line before and after each step; when the line after it does not come in time, this
process writes what to do, to stderr and, if it was given a file, as a warning event.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from trickster_engine.system.programs import python_command
from trickster_engine.system.substitutes import substitute

CODE = "device-stalled"

#: A step that compiles kernels may take minutes; one that is merely slow is far below this.
FIRST_STEP_SECONDS = 900.0
STEP_SECONDS = 180.0
#: A simulated chip takes minutes for what a board does at once.
SIMULATED_TIMES = 24.0


def advice(pid: int) -> str:
    """What to do about a board that hangs."""
    if substitute():
        return (
            f"A simulated chip is slow; if it hangs, end the run (kill -9 {pid}) and resume with: trickster resume "
            "<run>"
        )
    return (
        f"If kernels may still be compiling, wait. Otherwise end the run (kill -9 {pid}; a hanging device does not "
        "respond to a stop), reset the board with tt-smi -r, and resume with: trickster resume <run>"
    )


class Watchdog:
    """The watched side. Everything here is best effort: a watchdog that fails must not take the training with it."""

    def __init__(self, events_path: Path | None = None, step_seconds: float = STEP_SECONDS) -> None:
        stands_in = substitute()
        self._times = SIMULATED_TIMES if stands_in and stands_in.simulates else 1.0
        self._step_seconds = step_seconds
        self._events_path = events_path
        self._process: subprocess.Popen[str] | None = None

    @contextlib.contextmanager
    def watching(self, first: bool = False) -> Iterator[None]:
        """Watch one step."""
        self._send(f"begin {self._times * (FIRST_STEP_SECONDS if first else self._step_seconds)}")
        try:
            yield
        finally:
            self._send("end")

    def close(self) -> None:
        """Let the watchdog go."""
        process, self._process = self._process, None
        if process and process.stdin:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.close()
                process.wait(timeout=5)

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._process is None:
                command = python_command(__name__, str(os.getpid()))
                if self._events_path:
                    command.append(str(self._events_path))
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1)
            if self._process.stdin:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()


def watch(lines: TextIO, pid: int, events_path: Path | None, out: TextIO) -> None:
    """Follow the watched process until it ends or closes the pipe."""
    arriving: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in lines:
            arriving.put(line)
        arriving.put(None)

    threading.Thread(target=read, daemon=True).start()
    limit: float | None = None
    stalled_since: float | None = None
    while True:
        try:
            line = arriving.get(timeout=limit)
        except queue.Empty:
            stalled_since, limit = time.monotonic() - (limit or 0), None
            seconds = time.monotonic() - stalled_since
            _say(out, events_path, f"The device has not responded for {seconds:.0f} s.", advice(pid))
            continue
        if line is None:
            return
        if stalled_since is not None:
            seconds = time.monotonic() - stalled_since
            _say(out, events_path, f"The device responds again, after {seconds:.0f} s.", "No action is needed.")
            stalled_since = None
        word, _, value = line.strip().partition(" ")
        limit = float(value) if word == "begin" else None


def _say(out: TextIO, events_path: Path | None, message: str, what_to_do: str) -> None:
    print(f"{message} {what_to_do}", file=out, flush=True)
    if events_path:
        event = {"t": time.time(), "kind": "warning", "code": CODE, "message": message, "advice": what_to_do}
        # One write of one whole line, appended: the run's own process may be writing to the same file.
        with contextlib.suppress(OSError), events_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the run, which ends us by closing the pipe
    watch(sys.stdin, int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None, sys.stderr)
