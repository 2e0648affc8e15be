"""A trainer's eye on its run directory: whether the folder and the lock at that path are still the ones it began with.

Whoever tidies folders while a run trains moves or deletes it, and another run may take its name. What the trainer
writes by path would then land in somebody else's run, or in a new folder that nobody looks into.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import NamedTuple

LOCK_FILE = "lock"
EVENTS_FILE = "events.jsonl"
#: The codes of the ways in which a run is lost.
LOSSES = (
    *("run-moved", "run-deleted", "run-replaced", "run-lost"),
    *("lock-removed", "lock-replaced", "events-removed", "events-replaced"),
)


class Loss(NamedTuple):
    """How a run was taken from its trainer."""

    code: str
    message: str
    #: Where the run's folder is now, as far as the system says.
    now: Path | None


class RunHold:
    """The run directory as it was when this was made; looked at again before anything is written into it by path."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the directory or its lock is not there."""
        self.path = path
        self.descriptor: int | None
        # Windows neither opens folders nor lets one be moved or removed while a file in it is open.
        if sys.platform == "win32":
            self.descriptor = None
        else:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folder = _same(path.stat() if self.descriptor is None else os.fstat(self.descriptor))
        # Some network file systems number their files anew at each look: there, only what is missing is noticed.
        self._numbered = _same(path.stat()) == self._folder
        self._lock: tuple[int, int] | None = None
        self._events: tuple[int, int] | None = None

    def watch_lock(self) -> None:
        """From now on the lock has to be there, and the same. Raises OSError where it is not."""
        self._lock = _same((self.path / LOCK_FILE).lstat())

    def close(self) -> None:
        """Look no more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def loss(self) -> Loss | None:
        """How the run was lost, or None while it is this trainer's, also where a disk or a share does not tell now."""
        try:
            found = _same(self.path.stat())
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)) and error.errno != errno.ESTALE:
                return None  # a write that fails will say so
            now = self.now()
            if now is not None:
                return Loss("run-moved", f"The run's folder was moved while it trained, from {self.path} to {now}", now)
            gone = f"The run's folder, {self.path}, was moved away or deleted while it trained"
            return Loss("run-deleted", gone, None)
        if self._numbered and found != self._folder:
            return Loss("run-replaced", f"Another folder is at {self.path}, where this run trained", self.now())
        if self._lock is None:
            return None
        lock, how = self._look(LOCK_FILE, self._lock)
        if how is not None:
            return Loss(f"lock-{how}", f"The lock of this run, {lock}, was {how}", self.path)
        events, how = self._look(EVENTS_FILE, self._events)
        if how is not None:  # without them the folder is no run any more, and nobody would see what is written on
            return Loss(f"events-{how}", f"The events of this run, {events}, were {how}", self.path)
        return None

    def _look(self, name: str, known: tuple[int, int] | None) -> tuple[Path, str | None]:
        """What happened to a file that was there before, in a word. Events are known from when they are first seen."""
        path = self.path / name
        try:
            found = _same(path.lstat())
        except FileNotFoundError:
            return path, None if known is None else "removed"
        except OSError:
            return path, None
        if known is None:
            self._events = found
        elif self._numbered and found != known:
            return path, "replaced"
        return path, None

    def now(self) -> Path | None:
        """Where the held folder is now; None where it was deleted, or where the system does not say."""
        if self.descriptor is None:
            return None
        try:
            path = _path_of(self.descriptor)
            return path if path is not None and _same(path.stat()) == self._folder else None
        except OSError:
            return None


def _same(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _path_of(descriptor: int) -> Path | None:
    """The path that an open folder has now."""
    if sys.platform.startswith("linux"):
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115 - of a deleted one, no path at all
    if sys.platform == "darwin":
        import fcntl

        get_path = getattr(fcntl, "F_GETPATH", 50)
        answer = fcntl.fcntl(descriptor, get_path, bytes(1024))
        return Path(os.fsdecode(answer.split(b"\0", 1)[0]))
    return None
