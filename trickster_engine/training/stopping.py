"""Requests to stop: Ctrl-C, a signal, or a file in the run directory."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from trickster_engine.errors import EXIT_STOPPED, TricksterError
from trickster_engine.runs import RunDirectory

Handler = Callable[[int, FrameType | None], Any]


def stopped_while_preparing() -> TricksterError:
    """What ends a run that somebody has stopped before there was anything to save."""
    return TricksterError(
        "stopped-while-preparing",
        "Stopped while the text was being prepared, before training began.",
        "Start again at any time: the prepared part is kept.",
        EXIT_STOPPED,
    )


def take_over(names: tuple[str, ...], handler: Handler) -> dict[int, Any]:
    """Have signals call a handler; returns what they did before. A hang-up that is ignored (nohup) stays ignored."""
    previous: dict[int, Any] = {}
    for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
        before = signal.getsignal(number)
        if before is signal.SIG_IGN and number == getattr(signal, "SIGHUP", None):
            continue
        signal.signal(number, handler)
        previous[number] = signal.SIG_DFL if before is None else before
    return previous


def give_back(previous: dict[int, Any]) -> None:
    """Have signals do again what they did before `take_over`."""
    for number, handler in previous.items():
        signal.signal(number, handler)


class StopSwitch:
    """Remembers a request to stop until the loop comes round to ask.

    While it is armed, the first signal asks for a stop that saves; a second Ctrl-C ends the process at once. Before it
    is armed, and after, signals do what they always do.
    """

    def __init__(self, run: RunDirectory, lost: Callable[[], bool] = lambda: False) -> None:
        """`lost` says whether the run was taken from its trainer, which asks for a stop as well."""
        self._run = run
        self._lost = lost
        self._signalled = False
        self._previous: dict[int, Any] = {}

    def heed_hang_up(self) -> None:
        """While the text is prepared, a terminal that is closed ends the run like every stop."""
        self._previous = take_over(("SIGHUP",), _stop_preparing)

    def arm(self) -> None:
        """Take the signals over. Only possible in the main thread."""
        self.disarm()
        self._previous = take_over(("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"), self._on_signal)

    def disarm(self) -> None:
        """Give the signals back."""
        give_back(self._previous)
        self._previous = {}

    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._signalled or self._lost() or self._run.stop_requested()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True


def _stop_preparing(number: int, frame: FrameType | None) -> None:
    raise stopped_while_preparing()
