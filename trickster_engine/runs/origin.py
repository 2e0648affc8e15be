"""Where the config that a run was made from lies by now: a project's folder may have been moved or renamed since.

What a config names is relative to its folder, so resume, compare and report all ask this first. That it is the same
text is proved by its fingerprint, wherever it lies.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from trickster_engine.system.files import path_meant


def from_run(run: Path, config: Path) -> str:
    """The way from a run's folder to a config, with `/`; empty where there is none, between two Windows drives."""
    try:
        return Path(os.path.relpath(os.path.realpath(config), os.path.realpath(run))).as_posix()
    except ValueError:
        return ""


def config_origin(run: Path, recorded: str, way: str, output_dir: Callable[[], str | None]) -> Path:
    """The config that a run was made from. It may not be there any more: then it is its folder that counts.

    `recorded` is its path of then and `way` that from the run's folder, empty in runs of before 0.3: there the run was
    made below the `output_dir` of its config. A copy of a project has its own.
    """
    then = Path(recorded)
    there = _is_folder(then.parent)
    if way:
        now = _at(run, way)
        if os.path.lexists(now) or (not there and _is_folder(now.parent)):
            return now
    elif not there and (written := output_dir()) is not None:
        guessed = from_folder(then, written, run)
        if guessed is not None and _is_folder(guessed.parent):
            return guessed
    return then


def from_folder(config: Path, output_dir: str, run: Path) -> Path | None:
    """The same where the way is not recorded: as far from the run as `output_dir` says."""
    made_below = path_meant(config.parent, output_dir)
    try:
        way = os.path.relpath(config, made_below / run.name)
    except ValueError:
        return None
    return _at(run, way)


def _at(run: Path, way: str) -> Path:
    return Path(os.path.normpath(os.path.join(os.path.realpath(run), way)))  # noqa: PTH118 - as realpath: never raises


def _is_folder(path: Path) -> bool:
    # Not Path.is_dir, which before Python 3.14 raises where a folder above cannot be entered.
    return os.path.isdir(path)  # noqa: PTH112
