"""Ending a process that holds a board: a signal must unwind the stack, because a board that is left open is wedged.

Where somebody has installed handlers already (the trainer does), theirs are left alone.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class EndingGuard:
    """Turns SIGTERM and SIGINT into exceptions from when it is made until `release`.

    An exception that a signal raises can be swallowed by whichever library happened to run: `check`, called before
    each step, raises it once more.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
                if signal.getsignal(number) == default:
                    self._before[number] = signal.signal(number, self._unwind)

    def check(self) -> None:
        """Raise what a signal raised before, if one came."""
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received is not None:
            raise SystemExit(128 + self._received)

    def release(self) -> None:
        """Put the handlers back."""
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                if signal.getsignal(number) == self._unwind:
                    signal.signal(number, handler)
        self._before.clear()

    def _unwind(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        self.check()
