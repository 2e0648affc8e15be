"""Which process is which, what it holds, and locks that die with it."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from trickster_engine.system.programs import find_program


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, told apart from a later one with the same number by when it started (unix seconds)."""

    pid: int
    started: float
    host: str


def this_process() -> ProcessIdentity:
    """The identity of the process that asks."""
    return ProcessIdentity(os.getpid(), process_started(os.getpid()) or 0.0, platform.node())


def process_started(pid: int) -> float | None:
    """When a process of this machine started, in unix seconds; None if it does not run or cannot be seen."""
    if sys.platform.startswith("linux"):
        return _started_on_linux(pid)
    if sys.platform == "win32":
        return _started_on_windows(pid)
    return _started_by_ps(pid)


def is_running(process: ProcessIdentity) -> bool:
    """Whether exactly this process still runs on this machine."""
    started = process_started(process.pid)
    # Start times are derived from the boot time, which the kernel may round differently from call to call.
    return started is not None and abs(started - process.started) < 2.0 and process.host == platform.node()


def peak_memory() -> int | None:
    """The most main memory that this process has held so far, in bytes; None where the system does not say."""
    if sys.platform.startswith("linux"):
        # Not getrusage: its ru_maxrss begins at what the parent held when it started this process.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    if sys.platform == "win32":
        return None
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def _started_on_linux(pid: int) -> float | None:
    if sys.platform == "win32":
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    # The command in parentheses may hold spaces; fields count from after it (proc(5): state is 3, starttime is 22).
    fields = stat[stat.rfind(")") + 2 :].split()
    if fields[0] == "Z":
        return None
    boot_time = next(int(line.split()[1]) for line in boot.splitlines() if line.startswith("btime"))
    return boot_time + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _started_by_ps(pid: int) -> float | None:
    answer = subprocess.run(
        [find_program("ps") or "/bin/ps", "-o", "lstart=", "-p", str(pid)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        return time.mktime(time.strptime(answer.stdout.strip()))
    except ValueError:
        return None


def _started_on_windows(pid: int) -> float | None:
    if sys.platform != "win32":
        return None
    import ctypes

    kernel32 = ctypes.windll.kernel32
    process_query_limited_information = 0x1000
    still_active = 259
    handle = kernel32.OpenProcess(process_query_limited_information, False, pid)
    if not handle:
        return None
    try:
        code = ctypes.c_ulong()
        if not kernel32.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value != still_active:
            return None
        created, ended, kernel, user = (ctypes.c_ulonglong() for _ in range(4))
        if not kernel32.GetProcessTimes(handle, *(ctypes.byref(x) for x in (created, ended, kernel, user))):
            return None
        # FILETIME counts 100 ns since 1601-01-01.
        return float(created.value) / 1e7 - 11644473600.0
    finally:
        kernel32.CloseHandle(handle)


if sys.platform == "win32":
    import msvcrt

    # Windows locks are mandatory: lock a byte far behind the text so that others can still read who holds the file.
    _LOCK_OFFSET = 1 << 20

    def lock_file(file: IO[Any]) -> bool:
        """Take the lock without waiting; False if another process has it."""
        position = file.tell()
        file.seek(_LOCK_OFFSET)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(position)
        return True

    def lock_folder(descriptor: int) -> bool:
        """Nothing to take: here a folder with an open file in it can neither be moved nor removed."""
        return True

    def unlock_file(file: IO[Any]) -> None:
        """Give the lock back."""
        file.seek(_LOCK_OFFSET)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

    def is_locked(file: IO[Any] | int) -> bool:
        """Whether another process has the lock."""
        assert not isinstance(file, int)
        if not lock_file(file):
            return True
        unlock_file(file)
        return False

else:
    import fcntl

    def lock_file(file: IO[Any]) -> bool:
        """Take the lock without waiting; False if another process has it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def unlock_file(file: IO[Any]) -> None:
        """Give the lock back."""
        fcntl.flock(file, fcntl.LOCK_UN)

    def lock_folder(descriptor: int) -> bool:
        """Take the lock of an open folder without waiting; False if another process has it.

        Some network file systems lock no folders. There the lock on a file has to do.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
        return True

    def is_locked(file: IO[Any] | int) -> bool:
        """Whether another process has the lock. Two that ask at once do not take each other for it."""
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
        fcntl.flock(file, fcntl.LOCK_UN)
        return False
