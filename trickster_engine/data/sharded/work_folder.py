"""The folder that a large text is prepared in: one process at a time works there, and the next one goes on."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from trickster_engine.data.cache import make_folder, publish, storage_error
from trickster_engine.system.files import open_to_append
from trickster_engine.system.processes import lock_file, unlock_file

_PREPARING = ".preparing-"
_KEPT_S = 7 * 24 * 3600  # work that nobody has taken up for this long is removed
#: The largest journal that is read: a note holds some bytes for each document.
JOURNAL_BYTES = 1 << 33
_WAITING_S = 0.5  # how often to try for a lock that another process holds


@contextlib.contextmanager
def work_folder(parent: Path, key: str, interrupt: Callable[[], None] | None) -> Iterator[Path]:
    """Give the folder for a text and a recipe, and keep every other process out of it meanwhile.

    Waits for whoever is at work there; `interrupt` may raise to end the wait. Raises TricksterError: disk-full,
    cache-unwritable.
    """
    folder = parent / f"{_PREPARING}{key}"
    path = parent / f"{_PREPARING}{key}.lock"
    with storing(parent):
        make_folder(parent)
        _sweep(parent, folder)
    while True:
        with storing(parent):
            lock = io.TextIOWrapper(open_to_append(path), encoding="utf-8")
        with lock:
            if lock_file(lock):
                if not _same_file(lock, path):  # its last holder has removed it: others lock a new one
                    continue
                if folder.is_dir():  # taken up again: the work inside it must not sweep it away
                    with contextlib.suppress(OSError):
                        os.utime(folder)
                try:
                    yield folder
                finally:
                    with contextlib.suppress(OSError):
                        path.unlink()
                    unlock_file(lock)
                return
        if interrupt is not None:
            interrupt()
        time.sleep(_WAITING_S)  # nothing tells when a lock becomes free without blocking the way to stop


def move_into_place(folder: Path, target: Path) -> None:
    """Make a finished work folder a dataset. Raises TricksterError: disk-full, cache-unwritable."""
    with storing(target):
        publish(folder, target)
    shutil.rmtree(folder, ignore_errors=True)  # still there where another process was faster


def _sweep(parent: Path, own: Path) -> None:
    """Remove work that was given up long ago."""
    for folder in parent.glob(f"{_PREPARING}*"):
        if folder == own or not folder.is_dir():
            continue
        with contextlib.suppress(OSError):
            newest = max((path.stat().st_mtime for path in [folder, *folder.iterdir()]), default=0.0)
            if time.time() - newest > _KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _same_file(stream: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except OSError:
        return False


@contextlib.contextmanager
def storing(path: Path) -> Iterator[None]:
    """Raise what goes wrong with the disk as TricksterError: disk-full, cache-unwritable."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error
