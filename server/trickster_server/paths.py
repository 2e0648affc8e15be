"""Addresses and paths: from one to the other, and two names of one place."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from pygls.uris import from_fs_path, to_fs_path


def path_of(uri: str) -> Path | None:
    """The file behind an address; None for an untitled text or one that is not on this machine."""
    try:
        parts = urlsplit(uri)
        if parts.scheme.lower() != "file":
            return None
        path = to_fs_path(uri)
    except ValueError:
        return None
    return Path(path) if path and "\0" not in path else None


def uri_of(path: Path) -> str:
    """The address of a file."""
    return from_fs_path(str(path)) or path.as_uri()


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
