"""Finds run directories in the folders that configs write them to."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from trickster_engine.runs import is_run_directory
from trickster_server.paths import without_dots


def runs_below(folder: Path, known: Container[str] = ()) -> list[Path]:
    """Run directories directly below a folder but for known ones; of a folder that cannot be read, none."""
    try:
        with os.scandir(folder) as children:
            new = [Path(child.path) for child in children if child.path not in known]
        return [path for path in new if is_run_directory(path)]
    except (OSError, ValueError):  # a config may name a folder that no system has, such as one with a zero in its name
        return []


def runs_of_outputs(folders: Iterable[Path], known: Container[str] = ()) -> list[Path]:
    """Run directories in the folders that configs name, `..` and all, but for known ones."""
    return [path for folder in {without_dots(folder) for folder in folders} for path in runs_below(folder, known)]
