"""Finds run directories in folders."""

from __future__ import annotations

import os
from pathlib import Path

from trickster_engine.runs.directory import is_run_directory

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
