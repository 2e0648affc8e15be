"""The lock that a trainer holds on its run for as long as it lives.

Two locks of the operating system, which end with the process, however it ends: one on the file `lock`, which names the
process, and one on the folder itself. Whoever removes the file has not opened the run to a second trainer.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

from trickster_engine.errors import TricksterError
from trickster_engine.runs.hold import LOCK_FILE, RunHold
from trickster_engine.system.files import NotAPlainFileError, in_command, open_plain, open_to_append, read_json
from trickster_engine.system.json_dataclass import from_stored
from trickster_engine.system.os_errors import cannot_write, reason
from trickster_engine.system.processes import (
    ProcessIdentity,
    is_locked,
    lock_file,
    lock_folder,
    this_process,
    unlock_file,
)

#: `unknown`: the lock cannot be looked at, for instance because the run is another user's.
Liveness = Literal["live", "idle", "unknown"]
_LOCK_BYTES = 4096


class RunLock:
    """The trainer's hold on its run directory."""

    def __init__(self, run_path: Path, patience_s: float = 0.2, *, uid: str = "") -> None:
        """`patience_s`: how long to wait for it; a reader that looks holds it for the blink of an eye.

        `uid` is the run's, and is written beside the process that holds it.
        """
        self._path = run_path / LOCK_FILE
        self._patience_s = patience_s
        self._uid = uid
        self._file: BinaryIO | None = None
        self._hold: RunHold | None = None

    def __enter__(self) -> RunLock:
        deadline = time.monotonic() + self._patience_s
        try:
            while not self._try():
                if time.monotonic() > deadline:
                    raise self._taken()
                time.sleep(0.01)
        except NotAPlainFileError as error:
            raise link_in_run(self._path, error) from error
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise another_users(self._path.parent, error) from error
            raise cannot_write(error, self._path, "check the disk that the run is on") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    def _try(self) -> bool:
        """Take both locks and write down who has them; False where another process has one."""
        self._hold = RunHold(self._path.parent)
        try:
            # The folder first: where it is held, no lock file is made in the place of one that was removed.
            if self._hold.descriptor is not None and not lock_folder(self._hold.descriptor):
                self._let_go()
                return False
            self._file = file = open_to_append(self._path)
            if not lock_file(file):
                self._let_go()
                return False
            self._hold.watch_lock()
            if not os.path.samestat(os.fstat(file.fileno()), os.lstat(self._path)):  # removed as we took it
                self._let_go()
                return False
            file.truncate(0)
            file.write(json.dumps({**asdict(this_process()), "uid": self._uid}).encode())
            file.flush()
        except BaseException:
            self._let_go()
            raise
        return True

    def _let_go(self) -> None:
        file, self._file = self._file, None
        hold, self._hold = self._hold, None
        if file is not None:
            with contextlib.suppress(OSError):  # the disk may be full or gone; the lock ends with the file all the same
                unlock_file(file)
            with contextlib.suppress(OSError):
                file.close()
        if hold is not None:
            hold.close()

    def _taken(self) -> TricksterError:
        holder = read_lock_holder(self._path)
        who = f"process {holder.pid} on {holder.host}" if holder else "another process"
        return TricksterError(
            "run-locked",
            f"{self._path.parent} is being trained by {who}.",
            f"Wait for it, or stop it with: trickster stop {in_command(self._path.parent)}",
        )


def liveness(run_path: Path) -> Liveness:
    """Whether a trainer holds a run right now. Looking needs only the right to read, and leaves nothing behind."""
    try:
        with open_plain(run_path / LOCK_FILE) as file:
            if is_locked(file):
                return "live"
            told = True
    except (FileNotFoundError, NotADirectoryError):
        told = True
    except OSError:
        told = False
    if sys.platform == "win32":
        return "idle" if told else "unknown"
    try:
        folder = os.open(run_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return "idle" if told else "unknown"
    try:
        if is_locked(folder):
            return "live"
    finally:
        os.close(folder)
    return "idle" if told else "unknown"


def read_lock_holder(path: Path) -> ProcessIdentity | None:
    """The process a lock file names, or None where it names none or cannot be read."""
    try:
        return from_stored(ProcessIdentity, read_json(path, _LOCK_BYTES))
    except (OSError, ValueError):
        return None


def read_lock_uid(path: Path) -> str:
    """The random id of the run that a lock file belongs to; empty where it names none."""
    try:
        value = read_json(path, _LOCK_BYTES)
    except (OSError, ValueError):
        return ""
    uid = value.get("uid") if isinstance(value, dict) else None
    return uid if isinstance(uid, str) else ""


def link_in_run(path: Path, error: NotAPlainFileError) -> TricksterError:
    """The error for something else than a plain file at a name that a trainer writes."""
    return TricksterError(
        "link-in-run",
        f"{path} is a {error.kind}. Trickster does not write through anything in place of a run's own files.",
        "Remove it, or ask its owner to.",
    )


def another_users(run_path: Path, error: OSError) -> TricksterError:
    """The error for a run that this user may look at and not write."""
    owner = owner_of(run_path)
    return TricksterError(
        "run-of-another-user",
        f"{run_path} belongs to {owner}, and you may not write to it: {reason(error)}.",
        f"Ask {owner} to do it, or for write permission.",
    )


def owner_of(path: Path) -> str:
    """Whose a folder is, in words."""
    if sys.platform == "win32":
        return "another user"
    try:
        return f"the user {path.owner()}"
    except (OSError, KeyError, NotImplementedError):
        return "another user"
