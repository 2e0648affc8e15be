"""Ending a process that holds a board: a signal must unwind the stack, because a board that is left open is wedged.

Where somebody has installed handlers already (the trainer does), theirs are left alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any] | signal.Handlers

_DEFAULTS: Mapping[signal.Signals, Handler] = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


class EndingGuard:
    """Turns SIGTERM and SIGINT into exceptions from when it is made until `release`.

    An exception that a signal raises can be swallowed by whichever library happened to run: `check`, called before
    each step, raises it once more.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._mine: list[signal.Signals] = []
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) == default:
                    signal.signal(number, self._unwind)
                    self._mine.append(number)

    def check(self) -> None:
        """Raise what a signal raised before, if one came."""
        if self._received is not None:
            self._raise()

    def release(self) -> None:
        """Put the handlers back."""
        if threading.current_thread() is threading.main_thread():
            for number in self._mine:
                if signal.getsignal(number) == self._unwind:
                    signal.signal(number, _DEFAULTS[number])
        self._mine.clear()

    def _unwind(self, number: int, _frame: FrameType | None) -> None:
        self._received = number
        self._raise()

    def _raise(self) -> None:
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + int(self._received or 0))
