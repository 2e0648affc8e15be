"""A run that fails before its first update leaves no folder behind, and nothing else is ever removed for it."""

from __future__ import annotations

import contextlib
import os

from trickster_engine.runs import (
    CONFIG_FILE,
    EVENTS_FILE,
    IDENTITY_FILE,
    LOCK_FILE,
    LOG_FILE,
    SAMPLES_FILE,
    STOP_FILE,
    RunDirectory,
)
from trickster_engine.system.files import sweep_temporaries

_MADE = (CONFIG_FILE, EVENTS_FILE, LOG_FILE, SAMPLES_FILE, STOP_FILE, LOCK_FILE)


def remove_unbegun(run: RunDirectory, made: os.stat_result) -> bool:
    """Remove the folder `made` of a run that has not begun; returns whether it is gone.

    Only the files that a trainer makes before it begins, by their names; the folder stays where anything else is in it,
    where there is a `run.json` in whatever state, and where another folder has taken its place.
    """
    try:
        if not os.path.samestat(run.path.stat(), made) or os.path.lexists(run.path / IDENTITY_FILE):
            return False
        sweep_temporaries(run.path)
        if not {*_MADE, "checkpoints"}.issuperset(path.name for path in run.path.iterdir()):
            return False
        if os.path.lexists(run.path / "checkpoints"):
            (run.path / "checkpoints").rmdir()  # raises where anything is in it
        for name in _MADE:
            with contextlib.suppress(FileNotFoundError):
                (run.path / name).unlink()
        run.path.rmdir()
    except OSError:
        return False
    return True
