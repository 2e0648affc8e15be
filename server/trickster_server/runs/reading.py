"""Reads runs in the thread that is there for them. Whatever one run's files hold, the others are read on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from trickster_engine.runs import EVENTS_FILE
from trickster_engine.runs.events import left_out_words
from trickster_server.runs.followed import FollowedRun, Reading

logger = logging.getLogger(__name__)

FIRST_SCREEN = 50
"""Runs that are read whole before the first list is sent, the newest, and looked at whole each time."""
FIRST_LOOK = 0.4
"""Seconds that this may take."""
TAIL = 48 * 1024
"""Bytes at the end of their events in which every one counts: enough for `RunState.speeds`."""


def tell_trouble(run: FollowedRun) -> None:
    """Log that a run cannot be followed, once: it is tried again, and the other runs are followed meanwhile."""
    if not run.troubled:
        run.troubled = True
        logger.exception("%s cannot be followed", run.run_id)


def say_left_out(run: FollowedRun) -> None:
    """Log, once, that lines of a run were not understood."""
    if run.left_out and not run.said_left_out:
        run.said_left_out = True
        logger.warning("%s: in %s, %s", run.run_id, EVENTS_FILE, left_out_words(run.left_out))


def newest_first(runs: Iterable[FollowedRun]) -> list[FollowedRun]:
    """Runs by when they began."""
    return sorted(runs, key=lambda run: (run.created, run.run_id), reverse=True)


def first_look(runs: Sequence[FollowedRun]) -> None:
    """Read what the first list shows of runs. Only for those that nobody else holds yet."""
    for run in runs:
        try:
            run.glance()
        except Exception:
            tell_trouble(run)
    until = time.monotonic() + FIRST_LOOK
    for run in newest_first(runs)[:FIRST_SCREEN]:
        if not catch_up_safely(run, until, TAIL):
            return
        run.take_over()
        if (found := look_safely(run, probe=True)) and found[0] is not None:
            run.apply(found[0])


def catch_up_safely(run: FollowedRun, until: float, tail: int = 0) -> bool:
    """`FollowedRun.catch_up`; a run whose reading fails counts as read."""
    try:
        return run.catch_up(until, tail)
    except Exception:
        tell_trouble(run)
        return True


def look_safely(run: FollowedRun, probe: bool) -> tuple[Reading | None] | None:
    """What a look has found, in a tuple; None where it has failed."""
    try:
        return (run.look(probe),)
    except Exception:
        tell_trouble(run)
        return None
