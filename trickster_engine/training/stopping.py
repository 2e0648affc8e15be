"""Requests to stop: Ctrl-C, a signal, or a file in the run directory."""

from __future__ import annotations

import signal
from types import FrameType

from trickster_engine.runs import RunDirectory


class StopSwitch:
    """Remembers a request to stop until the loop comes round to ask.

    While it is armed, the first signal asks for a stop that saves; a second Ctrl-C ends the process at once. Before it
    is armed, and after, signals do what they always do.
    """

    _SIGNALS = tuple(
        getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
    )

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._signalled = False
        self._previous: dict[int, object] = {}

    def arm(self) -> None:
        """Take the signals over. Only possible in the main thread."""
        for number in self._SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)

    def disarm(self) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()

    def requested(self) -> bool:
        """Whether somebody asked."""
        return self._signalled or self._run.stop_requested()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signalled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._signalled = True
