"""Finds run directories in folders."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from pathlib import Path

from trickster_engine.runs import is_run_directory
from trickster_server.paths import without_dots

SEARCH_DEPTH = 5
SEARCH_LIMIT = 20_000
_NOT_SEARCHED = frozenset(
    {"node_modules", "__pycache__", "site-packages", "checkpoints", "venv", "target", "build", "dist"}
)


def search(folder: Path, depth: int = SEARCH_DEPTH) -> list[Path]:
    """Run directories at or below a folder. Looks breadth first and gives up on a workspace that is too large."""
    found: list[Path] = []
    level = [folder]
    seen = 0
    for _ in range(depth):
        below: list[Path] = []
        for current in level:
            if is_run_directory(current):
                found.append(current)
                continue
            try:
                with os.scandir(current) as children:
                    for child in children:
                        seen += 1
                        if seen > SEARCH_LIMIT:
                            return found
                        if not child.name.startswith(".") and child.name not in _NOT_SEARCHED and _is_folder(child):
                            below.append(Path(child.path))
            except (OSError, ValueError):
                continue
        level = below
    found.extend(path for path in level if is_run_directory(path))
    return found


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir(follow_symlinks=False)
    except OSError:  # some file systems say what it is only when asked for each one
        return False


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
