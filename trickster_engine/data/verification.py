"""Whether a dataset's files still hold what they held when they were written, in pieces and in little memory.

Hashing takes a second for a gigabyte or two. A command that looks at data waits for it; training begins at once and
hashes beside its first steps, in a thread of low priority, and nothing is saved before the answer is known.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from trickster_engine.data.cache import discard
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.system.os_errors import reason

Tick = Callable[[int], None]


class Verification:
    """The check of one dataset. `check` returns what is wrong, or None, and reports the bytes it has read."""

    def __init__(self, directory: Path, size: int, check: Callable[[Tick], str | None] | None) -> None:
        """`check` is None where the content has been compared already."""
        self.size = size
        self._directory = directory
        self._check = check
        self._thread: threading.Thread | None = None
        self._failure: TricksterError | None = None

    def begin(self) -> None:
        """Check in the background from now on."""
        if self._check is not None and self._thread is None:
            self._thread = threading.Thread(target=self._in_background, daemon=True, name="verification")
            self._thread.start()

    def require(self, *, wait: bool = False) -> None:
        """Raise TricksterError where the check that was begun has found damage so far; `wait` until it is over.

        cache-damaged: the dataset has been taken away, so that the next start prepares it again. cache-unreadable.
        """
        if wait and self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def run(self, tick: Tick) -> None:
        """Check now, unless that was done. Raises what `require` raises, and what `tick` does."""
        if self._check is not None:
            self._failure = self._outcome(self._check, tick)
        self.require()

    def _in_background(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        assert self._check is not None
        self._failure = self._outcome(self._check, lambda count: None)

    def _outcome(self, check: Callable[[Tick], str | None], tick: Tick) -> TricksterError | None:
        try:
            damage = check(tick)
        except OSError as error:
            return TricksterError(
                "cache-unreadable",
                f"The prepared text in {self._directory} cannot be read: {reason(error)}.",
                "Check the disk, or set TRICKSTER_CACHE_DIR to a folder on another one.",
                EXIT_TRAINING_FAILED,
            )
        if damage is None:
            self._check = None
            return None
        removed = True
        try:
            discard(self._directory)
        except TricksterError:  # a cache that may not be written, or a system that keeps files in use
            removed = False
        return TricksterError(
            "cache-damaged",
            f"The prepared text in {self._directory} is damaged: {damage}." + (" It was deleted." if removed else ""),
            ("" if removed else f"Remove {self._directory}. ")
            + "Start again: the text will be prepared again. Nothing trained on the damaged text was saved. If this "
            "happens again, check the disk and the memory.",
            EXIT_TRAINING_FAILED,
        )
