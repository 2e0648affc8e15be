"""The lock that a trainer holds on its run for as long as it lives."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TextIO

from trickster_engine.errors import TricksterError
from trickster_engine.files import in_command
from trickster_engine.processes import ProcessIdentity, lock_file, this_process, unlock_file

LOCK_FILE = "lock"


class RunLock:
    """The trainer's hold on its run directory: an operating-system lock that ends with the process, however it ends."""

    def __init__(self, run_path: Path, patience_s: float = 0.2) -> None:
        """`patience_s`: how long to wait for it. A reader's `is_live` holds it for the blink of an eye."""
        self._path = run_path / LOCK_FILE
        self._patience_s = patience_s
        self._file: TextIO | None = None

    def __enter__(self) -> RunLock:
        file = self._path.open("a+", encoding="utf-8")
        if not _lock_patiently(file, self._patience_s):
            holder = read_lock_holder(self._path)
            file.close()
            who = f"process {holder.pid} on {holder.host}" if holder else "another process"
            raise TricksterError(
                "run-locked",
                f"{self._path.parent} is being trained by {who}.",
                f"Wait for it, or stop it with: trickster stop {in_command(self._path.parent)}",
            )
        file.seek(0)
        file.truncate()
        json.dump(asdict(this_process()), file)
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            unlock_file(self._file)
            self._file.close()
            self._file = None


def _lock_patiently(file: TextIO, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not lock_file(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def read_lock_holder(path: Path) -> ProcessIdentity | None:
    """The process a lock file names, or None where the file is missing or empty."""
    try:
        return ProcessIdentity(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
