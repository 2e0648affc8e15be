"""The command line for as long as the one who started it lives: `python -m trickster_engine.system.attached COMMAND …`.

Standard input is not read for anything but its end. When the other end of the pipe is closed, also by a crash, this
process ends at once, so that no work goes on for nobody.
"""

from __future__ import annotations

import contextlib
import os
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
        import ctypes
        import signal

        pr_set_pdeathsig = 1
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)


def main() -> int:
    """Run the command line."""
    end_with_stdin()
    end_with_starter()
    from trickster_engine.cli import main as command_line

    return command_line(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
