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
        return "this process has too many open files"
    if error.errno in _SHARE_AWAY:
        return f"its file system does not respond ({error.strerror})"
    return str(error.strerror or error)


def remedy(error: OSError, elsewhere: str) -> str:
    """What to do about it, as the beginning of a sentence. `elsewhere` says where else to write or read."""
    if is_disk_full(error):
        return "Free some space"
    if error.errno in _FORBIDDEN:
        return f"Fix the folder's permissions, or {elsewhere}"
    if error.errno in _HANDLES:
        return "Close programs with many open files, or raise the limit with: ulimit -n 4096"
    if error.errno == errno.EROFS:
        return f"Its disk is mounted read-only: mount it for writing, or {elsewhere}"
    if error.errno == errno.EIO:
        return f"The disk is failing: back it up, and {elsewhere}"
    if error.errno in _SHARE_AWAY:
        return f"Reconnect the network share, or {elsewhere}"
    if error.errno in _IN_THE_WAY:
        return f"Remove what is in its place, or {elsewhere}"
    return elsewhere[:1].upper() + elsewhere[1:]


def cannot_write(error: OSError, what: object, elsewhere: str, code: str = "cannot-write") -> TricksterError:
    """The error for something that cannot be written."""
    return TricksterError(
        "disk-full" if is_disk_full(error) else code,
        f"Cannot write {what}: {reason(error)}.",
        remedy(error, elsewhere) + ".",
    )
