"""What the C library does with memory that training frees and asks for again."""

from __future__ import annotations

import ctypes
import os
import platform


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next request.

    Every step of training asks for the same pieces of memory and frees them. glibc gives large ones back to the system,
    which has to clear them page by page when they are asked for again: some 100,000 page faults a step of `nano`.
    The process holds on to its highest need instead, until it ends. What the user has set for malloc is kept.
    """
    if platform.libc_ver()[0] == "glibc" and not any(name.startswith("MALLOC_") for name in os.environ):
        trim_threshold, mmap_max, never = -1, -4, -1  # malloc.h
        mallopt = ctypes.CDLL(None).mallopt
        if mallopt(trim_threshold, never):
            mallopt(mmap_max, 0)
