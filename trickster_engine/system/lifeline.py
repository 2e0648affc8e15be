"""A process that ends with the one that started it, so that no work goes on for nobody.

Standard input is not read for anything but its end: when the other end of the pipe is closed, also by a crash, the
process ends at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading

ABANDONED = 70
"""Exit code of a process whose starter is gone."""


def end_with_stdin() -> None:
    """End this process as soon as standard input ends. Takes over standard input."""
    # A descriptor of its own, so that nothing else can close it or read from it.
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(own, 4096):
                pass
        os._exit(ABANDONED)

    threading.Thread(target=watch, name="watch-starter", daemon=True).start()


def end_with_starter() -> None:
    """Have the kernel end this process with the one that started it, where there is such a thing (Linux).

    The thread above needs Python's lock to notice anything, and loading torch can hold that for seconds.
    """
    if sys.platform.startswith("linux"):
        pr_set_pdeathsig = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)
