"""Reading and writing files that somebody else may have put there, may read, or may take away.

Reading: only plain files, never more than a limit, and links only where a person named the path. A FIFO, a device or an
endless link costs nothing and hangs nothing. Three outcomes are told apart everywhere: absent (FileNotFoundError),
there but unreadable (another OSError), and read but not ours (ValueError).

Writing: a crash leaves either the old content or the new, never half of it, and what is written goes through no link.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shlex
import stat
from pathlib import Path
from typing import Any, BinaryIO

#: A file of weights or of optimizer state is closed before it grows beyond this; a single array may.
MAX_ARRAYS_FILE_BYTES = 1_000_000_000
#: The most that a file of settings, names or sums may hold. The largest of ours, a tokenizer, is a few megabytes.
SMALL_FILE_BYTES = 64 << 20

# Windows has no links that open() could refuse and no FIFO that could hang it; its flags are 0 here.
_CLOSED_IN_CHILDREN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class NotAPlainFileError(OSError):
    """A link, folder, FIFO, socket or device lies where a plain file belongs. `kind` says which, in a word."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(errno.EINVAL, f"it is a {kind}, not a plain file", str(path))
        self.kind = kind


class TooLargeError(OSError):
    """A file holds more than is ever read of its kind."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))


def open_plain(path: Path, *, follow_links: bool = False) -> BinaryIO:
    """Open a plain file to read. Raises OSError; NotAPlainFileError for anything else that lies there.

    `follow_links` is for paths that a person has named; a link inside a run or a cache is nobody's wish.
    """
    require_plain(path, follow_links=follow_links)
    flags = os.O_RDONLY | _CLOSED_IN_CHILDREN | _NO_WAIT | _BINARY | (0 if follow_links else _NO_LINK)
    return os.fdopen(_as_plain(path, flags), "rb")


def open_to_append(path: Path) -> BinaryIO:
    """Open a plain file to append to, made where it is not there; never through a link. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        require_plain(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _CLOSED_IN_CHILDREN | _NO_WAIT | _BINARY | _NO_LINK
    return os.fdopen(_as_plain(path, flags), "ab")


def create_file(path: Path) -> BinaryIO:
    """Make a file that is not there yet and open it to write. Raises OSError (FileExistsError, also for a link)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOSED_IN_CHILDREN | _BINARY | _NO_LINK
    return os.fdopen(os.open(path, flags, 0o644), "wb")


def require_plain(path: Path, *, follow_links: bool = False) -> None:
    """Raise NotAPlainFileError where something other than a plain file lies, FileNotFoundError where nothing does.

    Looked at before it is opened: opening a device can already do something.
    """
    kind = kind_of(path.stat() if follow_links else path.lstat())
    if kind is not None:
        raise NotAPlainFileError(path, kind)


def _as_plain(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) and flags & _NO_LINK:
            raise NotAPlainFileError(path, "link") from error
        raise
    kind = kind_of(os.fstat(descriptor))
    if kind is not None:  # changed between the two looks
        os.close(descriptor)
        raise NotAPlainFileError(path, kind)
    return descriptor


def kind_of(status: os.stat_result) -> str | None:
    """What a path leads to, in a word; None for a plain file."""
    kinds = {
        stat.S_IFLNK: "link",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "FIFO",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return None if stat.S_ISREG(status.st_mode) else kinds.get(stat.S_IFMT(status.st_mode), "special file")


def read_bytes(path: Path, limit: int = SMALL_FILE_BYTES, *, follow_links: bool = False) -> bytes:
    """The content of a plain file. Raises OSError: TooLargeError above `limit` bytes, NotAPlainFileError."""
    with open_plain(path, follow_links=follow_links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise TooLargeError(path, limit)
        data = file.read(size + 1)  # as much memory is taken as is asked for
        if len(data) > size:  # a file of /proc has no size, and one that grows has another by now
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        raise TooLargeError(path, limit)
    return data


def read_text(path: Path, limit: int = SMALL_FILE_BYTES, *, follow_links: bool = False) -> str:
    """The text of a plain UTF-8 file. Raises OSError as `read_bytes` does, ValueError where it is not UTF-8."""
    return read_bytes(path, limit, follow_links=follow_links).decode("utf-8")


def read_json(path: Path, limit: int = SMALL_FILE_BYTES, *, follow_links: bool = False) -> Any:
    """The value in a JSON file. Raises OSError as `read_bytes` does, ValueError where it is not JSON."""
    try:
        return json.loads(read_text(path, limit, follow_links=follow_links))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def temporary_name(name: str) -> str:
    """A hidden name beside `name` that nobody can foresee. `sweep_temporaries` knows it."""
    return f".{name}.{secrets.token_hex(8)}.tmp"


def sweep_temporaries(folder: Path) -> None:
    """Remove the files that killed writers left in a folder. Only for whoever alone writes there."""
    for leftover in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(leftover.name):
            with contextlib.suppress(OSError):
                leftover.unlink()


_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")


def sync_file(path: Path) -> None:
    """Have the operating system put a file's content on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the operating system put a folder's entries on disk. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    sync_file(path)


def in_command(argument: Path | str) -> str:
    """A path or a value as a shell takes it in a command to copy: in quotes where it has more than plain characters.

    What a shell would act on even within quotes, such as `$(...)` in the name of a folder, it is given as text.
    """
    words = str(argument)
    if re.fullmatch(r"[\w@%+=:,./~\\-]+", words):
        return words
    if os.name == "nt":
        # In double quotes PowerShell acts on both; a quote within single ones is written twice.
        return "'" + words.replace("'", "''") + "'" if re.search("[$`]", words) else f'"{words}"'
    if re.search(r"[\"$`!\\]", words):
        return shlex.quote(words)
    return f'"{words}"'


def path_meant(folder: Path, written: str) -> Path:
    """The path that a config in `folder` means: relative to that folder, with `~` for the person's own."""
    return folder / os.path.expanduser(written)  # noqa: PTH111 - Path.expanduser raises for unknown users


def write_text_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step; of a link, the link itself. Raises OSError."""
    temporary = path.with_name(temporary_name(path.name))
    file = create_file(temporary)
    try:
        with file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_json_atomically(path: Path, value: Any) -> None:
    """Replace a JSON file in one step. Raises OSError."""
    write_text_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
