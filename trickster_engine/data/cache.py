"""Where prepared data lives, and how it gets there whole: built beside its place, flushed, then renamed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from trickster_engine.errors import TricksterError
from trickster_engine.system.files import NotAPlainFileError, path_meant
from trickster_engine.system.os_errors import is_disk_full, reason

_BUILDING = ".building-"
_ORPHAN_GRACE_S = 600  # a dead process' leftovers are removed once nothing has touched them for this long
_FOREIGN_GRACE_S = 7 * 24 * 3600  # the same for leftovers whose process cannot be asked (another machine)


def cache_directory() -> Path:
    """Return the user's cache for Trickster: TRICKSTER_CACHE_DIR, else the system's place for caches.

    Raises TricksterError `no-cache-folder` where neither is known. A shared temporary folder would not do instead:
    whoever else uses this machine could have prepared the text that is found there.
    """
    given = os.environ.get("TRICKSTER_CACHE_DIR")
    if given:
        return _absolute(given)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else _absolute("~/AppData/Local")) / "trickster" / "Cache"
    if sys.platform == "darwin":
        return _absolute("~/Library/Caches") / "trickster"
    wanted = os.environ.get("XDG_CACHE_HOME", "").strip()
    return _absolute(wanted or "~/.cache") / "trickster"


def known_cache_directory() -> Path | None:
    """Return the user's cache, or None where there is no place for one: for what is only looked up in it."""
    try:
        return cache_directory()
    except TricksterError:
        return None


def _absolute(written: str) -> Path:
    path = path_meant(Path(), written)
    if path.parts[:1] and path.parts[0].startswith("~"):
        raise TricksterError(
            "no-cache-folder",
            f"There is no folder for prepared text: {written} is in a home folder, and this user has none (HOME is "
            "not set, and the system knows none either).",
            "Set TRICKSTER_CACHE_DIR to a folder that you may write to, or HOME to your own.",
        )
    return path


def make_folder(path: Path) -> None:
    """Make a folder of the cache and those above it. Raises OSError, also where a stranger's link lies in its place."""
    path.mkdir(parents=True, exist_ok=True)
    status = path.lstat()
    # A link of one's own, or of the administrator, moves a part of the cache to another disk.
    if stat.S_ISLNK(status.st_mode) and hasattr(os, "geteuid") and status.st_uid not in (0, os.geteuid()):
        raise NotAPlainFileError(path, "link of another user")


def storage_error(error: OSError, path: Path) -> TricksterError:
    """Turn a failed write below `path` into words: a full disk, a folder that may not be written, or something else."""
    if is_disk_full(error):
        return TricksterError(
            "disk-full",
            f"The disk has no space left for {path} ({reason(error)}). The partial file was removed.",
            "Free some space, or set TRICKSTER_CACHE_DIR to a folder on a disk with free space.",
        )
    return TricksterError(
        "cache-unwritable",
        f"{path} cannot be written: {reason(error)}.",
        "Set TRICKSTER_CACHE_DIR to a folder that you may write to.",
    )


@contextlib.contextmanager
def building(target: Path) -> Iterator[Path]:
    """Give an empty folder to build in; on success it becomes `target` in one step, otherwise it is removed.

    Safe with any number of processes at once: each builds in a folder of its own, the first to finish wins and the
    others' work is dropped. A process killed in the middle leaves only a `.building-…` folder, which nothing loads
    and a later call sweeps away. Raises TricksterError: disk-full, cache-unwritable.
    """
    parent = target.parent
    scratch = parent / f"{_BUILDING}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        make_folder(parent)
        _sweep(parent)
        scratch.mkdir()
    except OSError as error:
        raise storage_error(error, parent) from error
    try:
        yield scratch
        publish(scratch, target)
    except OSError as error:
        # Reading errors are worded where the reading happens; what arrives here is a failed write.
        raise storage_error(error, target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Flush a folder's files and make it `target` in one step, unless there is one by now. Raises OSError."""
    for file in folder.iterdir():
        _flush(file)
    _flush(folder)
    _move_into_place(folder, target)
    _flush(target.parent)


def discard(folder: Path) -> None:
    """Take a damaged folder out of the way in one step, then delete it."""
    aside = folder.parent / f"{_BUILDING}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.rename(aside)
    except FileNotFoundError:  # someone else was faster
        return
    except OSError as error:
        raise storage_error(error, folder) from error
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:  # what lay there was no folder
        aside.unlink(missing_ok=True)


def _move_into_place(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError as error:
        # A folder cannot be renamed onto one with files in it: another process has put the same content there.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES) or not target.is_dir():
            raise


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove what killed processes left behind; never what a living one is building."""
    for leftover in parent.glob(f"{_BUILDING}*"):
        host, _, rest = leftover.name[len(_BUILDING) :].rpartition("-")[0].rpartition("-")
        with contextlib.suppress(OSError):
            newest = max((path.stat().st_mtime for path in [leftover, *leftover.iterdir()]), default=0.0)
            quiet_s = time.time() - newest
            ours = os.name == "posix" and host == socket.gethostname() and rest.isdigit()
            orphan = quiet_s > _ORPHAN_GRACE_S and not _alive(int(rest)) if ours else quiet_s > _FOREIGN_GRACE_S
            if orphan:
                shutil.rmtree(leftover, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, but belongs to someone else
        return True
    return True
