"""Put a folder in another one's place in one step, so that a crash at any moment leaves one of them there, whole."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = _RENAME_SWAP = 2
#: The file system or the kernel has no such call.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV)


def replace_folder(folder: Path, target: Path, aside: Path) -> None:
    """Rename `folder` to `target`; what was there is removed afterwards. Raises OSError, having changed nothing.

    Where two names can be exchanged, `target` is there, whole, at every moment. Elsewhere the old one goes to `aside`
    first: a crash between the two renames leaves both under the names of `folder` and `aside`.
    """
    if not os.path.lexists(target):
        folder.rename(target)
        return
    if _exchange(folder, target):
        discard(folder)
        return
    target.rename(aside)
    try:
        folder.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    discard(aside)


def discard(folder: Path) -> None:
    """Remove a folder, or the link, FIFO or device in its place, as far as possible. A plain file in its place stays.

    `shutil.rmtree` opens what it is given, and waits for the other end of a FIFO.
    """
    with contextlib.suppress(OSError):
        mode = folder.lstat().st_mode
        if stat.S_ISDIR(mode):
            shutil.rmtree(folder, ignore_errors=True)
        elif not stat.S_ISREG(mode):
            folder.unlink()


def _exchange(first: Path, second: Path) -> bool:
    """Let two names change places. False where this system cannot. Raises OSError."""
    if not sys.platform.startswith(("linux", "darwin")):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(*names, ctypes.c_uint(_RENAME_SWAP))
        else:
            at = ctypes.c_int(_AT_FDCWD)
            failed = library.renameat2(at, names[0], at, names[1], ctypes.c_uint(_RENAME_EXCHANGE))
    except AttributeError:  # an older C library
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(second))
