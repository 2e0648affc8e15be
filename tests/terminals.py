"""Terminals for programs that behave differently on one."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.many_events import TRICKSTER


def open_terminal(lines: int, columns: int) -> tuple[int, int]:
    """Open a pseudoterminal of this size: our end, and the end for a program."""
    if sys.platform == "win32":
        pytest.skip("pseudoterminals of POSIX")
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return ours, theirs


def on_terminal(*arguments: object, cwd: Path | None = None) -> tuple[int, str]:
    """What a person sees of a command on a terminal of 100 columns, line ends as the program wrote them."""
    ours, theirs = open_terminal(40, 100)
    process = subprocess.Popen(
        [*TRICKSTER, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=cwd
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux says the end of the other side so
            break
        if not data:
            break
        shown += data
    os.close(ours)
    return process.wait(), shown.decode("utf-8").replace("\r\n", "\n")
