"""What becomes of the memory that a training step has freed."""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""
_NEVER = -1


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed for the next request; returns whether it does.

    Every step of training asks for the same pieces of memory and frees them. glibc gives large ones back to the system,
    which has to clear them page by page when they are asked for again: some 100,000 page faults a step of `nano`.
    The process holds on to its highest need instead, until it ends. What the user has set for malloc is kept; other C
    libraries are left alone.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER) and mallopt(_MMAP_MAX, 0))
