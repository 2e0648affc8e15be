"""What the operating system refused, in words, and what to do about it."""

from __future__ import annotations

import errno

from trickster_engine.errors import TricksterError


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


_FULL = _numbers("ENOSPC", "EDQUOT", "EFBIG")
_FORBIDDEN = _numbers("EACCES", "EPERM")
_HANDLES = _numbers("EMFILE", "ENFILE")
_SHARE_AWAY = _numbers("ESTALE", "ENOTCONN", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT", "EREMOTEIO")
_IN_THE_WAY = _numbers("EEXIST", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EINVAL", "ENOTEMPTY")


def is_disk_full(error: OSError) -> bool:
    """Whether there was no room for what should be written."""
    return error.errno in _FULL


def reason(error: OSError) -> str:
    """Why it was refused, in a few words."""
    if error.errno in _HANDLES:
        return "this process has as many files open as it may"
    if error.errno in _SHARE_AWAY:
        return f"the file system that it lies on does not answer ({error.strerror})"
    return str(error.strerror or error)


def remedy(error: OSError, elsewhere: str) -> str:
    """What to do about it, as the beginning of a sentence. `elsewhere` says where else to write or read."""
    if is_disk_full(error):
        return "Free some space"
    if error.errno in _FORBIDDEN:
        return f"Mend the folder's permissions, or {elsewhere}"
    if error.errno in _HANDLES:
        return "Close what holds so many files open, or raise the limit with: ulimit -n 4096"
    if error.errno == errno.EROFS:
        return f"It lies on a disk that is mounted read-only: have it mounted for writing, or {elsewhere}"
    if error.errno == errno.EIO:
        return f"The disk itself fails: save what is on it, and {elsewhere}"
    if error.errno in _SHARE_AWAY:
        return f"See that the network share is there again, or {elsewhere}"
    if error.errno in _IN_THE_WAY:
        return f"Take away what lies in its place, or {elsewhere}"
    return elsewhere[:1].upper() + elsewhere[1:]


def cannot_write(error: OSError, what: object, elsewhere: str, code: str = "cannot-write") -> TricksterError:
    """The error for something that cannot be written."""
    return TricksterError(
        "disk-full" if is_disk_full(error) else code,
        f"Cannot write {what}: {reason(error)}.",
        remedy(error, elsewhere) + ".",
    )
