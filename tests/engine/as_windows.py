"""A process that takes Windows' way through locks, spoken to by lines: `hold`, `look`, `read`, `let go`.

    PYTHON tests/engine/as_windows.py RUN_DIRECTORY

`sys.platform` says win32 by the time our modules are loaded, and `msvcrt.locking` is emulated by Linux's locks on open
files: one byte at the file's position, owned by the handle, gone when the process ends. That Windows' lock also keeps
others from reading that byte is checked, since it cannot be emulated: nothing that we read may be locked.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - loaded before the platform changes, as all of the standard library that asks for it
import fcntl
import os
import struct
import sys
import types
from pathlib import Path

assert sys.platform == "linux"  # so far

FAR = 1 << 20


def locking(descriptor: int, mode: int, count: int) -> None:
    start = os.lseek(descriptor, 0, os.SEEK_CUR)
    assert start >= FAR and count == 1, "a byte that others read would be locked"
    # Windows locks a file that was opened for reading too; here such a file takes a lock that only writers' keep out.
    readable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    kind = (fcntl.F_RDLCK if readable else fcntl.F_WRLCK) if mode else fcntl.F_UNLCK
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, count, 0))


def main() -> None:
    import ctypes
    import platform  # noqa: F401
    import subprocess  # noqa: F401

    msvcrt = types.ModuleType("msvcrt")
    msvcrt.__dict__.update(locking=locking, LK_NBLCK=2, LK_UNLCK=0)
    sys.modules["msvcrt"] = msvcrt
    sys.platform = "win32"
    assert not hasattr(ctypes, "windll")

    from trickster_engine.errors import TricksterError
    from trickster_engine.runs import lock as locks
    from trickster_engine.system import processes

    processes._started_on_windows = lambda pid: 1.0
    run = Path(sys.argv[1])
    lock = locks.RunLock(run, uid="abcd")
    for line in sys.stdin:
        try:
            if line == "hold\n":
                lock.__enter__()
                print("held", flush=True)
            elif line == "look\n":
                print(locks.liveness(run), flush=True)
            elif line == "read\n":
                holder = locks.read_lock_holder(run / "lock")
                print(holder.pid if holder else None, locks.read_lock_uid(run / "lock"), flush=True)
            else:
                lock.__exit__(None, None, None)
                print("free", flush=True)
        except TricksterError as error:
            print(error.code, flush=True)


if __name__ == "__main__":
    main()
