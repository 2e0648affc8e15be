"""Two names of one place: paths that are compared with each other."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


def file_key(path: str | Path) -> str:
    """A text that is the same for every path to a file: links followed, and in one case where the system knows none.

    Asks the disk, so it is for threads.
    """
    try:
        return os.path.normcase(os.path.realpath(path))
    except (OSError, ValueError):
        return unresolved_key(path)


def unresolved_key(path: str | Path) -> str:
    """The same from the path alone, for a moment that may not wait for a disk: right where no link is on the way."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100 - abspath also takes `..` out


@lru_cache(maxsize=256)
def without_dots(path: Path) -> Path:
    """A path without `..` in it, so that one folder has one name.

    `..` behind a link leads to where the link points, not back; there the link is followed, which asks the disk.
    """
    plain = Path(os.path.abspath(path))  # noqa: PTH100 - abspath also takes `..` out
    if ".." not in path.parts:
        return plain
    try:
        real = os.path.realpath(path)
        return plain if os.path.realpath(plain) == real else Path(real)
    except (OSError, ValueError):
        return plain
