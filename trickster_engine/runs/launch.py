"""Starts training as a process of its own, which neither its starter's nor the window's end touches."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from trickster_engine.runs.create import create_run
from trickster_engine.runs.directory import RunDirectory, is_run_directory
from trickster_engine.system.programs import engine_environment, python_command

_TAIL = 8000


class Launched:
    """A training process that this one has started and collects when it ends."""

    def __init__(self, process: subprocess.Popen[bytes], run_directory: Path, output: BinaryIO) -> None:
        self.process = process
        self.run_directory = run_directory
        self.answered = False
        """Whether the one who asked for the training has been told that it has begun."""
        self._output = output

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def exit_code(self) -> int | None:
        """How it has ended; None while it runs. Asking also collects a process that has ended."""
        return self.process.poll()

    def last_words(self) -> str:
        """The end of what it has printed."""
        with contextlib.suppress(OSError, ValueError):
            self._output.seek(0, 2)
            self._output.seek(max(0, self._output.tell() - _TAIL))
            return self._output.read().decode("utf-8", "replace").strip()
        return ""

    def close(self) -> None:
        """Let go of what it printed."""
        self._output.close()


def launch(python: str, arguments: Sequence[str], run_directory: Path) -> Launched:
    """Run the engine's command line detached. Blocks for as long as a fork takes: call it in a thread.

    Raises OSError.
    """
    options: dict[str, Any]
    if sys.platform == "win32":
        options = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        options = {"start_new_session": True}
    run_directory.parent.mkdir(parents=True, exist_ok=True)
    # Written and read through two openings, because each has a position of its own. The file loses its name at once
    # where the system allows it, and so is gone when both the trainer and its starter are.
    descriptor, name = tempfile.mkstemp(prefix="trickster-train-", suffix=".log")
    os.close(descriptor)
    reading = Path(name).open("rb")  # noqa: SIM115 - stays open for as long as the trainer may speak
    with Path(name).open("ab") as writing:
        command = python_command("trickster_engine", *arguments, python=python)
        process = _start(command, run_directory.parent, writing, options)
    with contextlib.suppress(OSError):
        Path(name).unlink()
    return Launched(process, run_directory, reading)


def free_run_directory(output_dir: Path, name: str) -> Path:
    """The next free run directory, for a trainer to make. Raises TricksterError as `create_run` does."""
    made = create_run(output_dir, name).path
    made.rmdir()
    return made


def has_begun(directory: Path, pid: int) -> bool:
    """Whether a trainer holds the run, and has said so in its events."""
    holder = RunDirectory(directory).trainer()
    if holder is None or not is_run_directory(directory):
        return False
    # On Windows the process that was started may be a launcher, and the trainer its child.
    return holder.pid == pid or sys.platform == "win32"


def _start(command: list[str], folder: Path, output: BinaryIO, options: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=str(folder),
        env=engine_environment(),
        close_fds=True,
        **options,
    )
