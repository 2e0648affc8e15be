"""Writing files so that a crash leaves either the old content or the new, never half of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

#: A file of weights or of optimizer state is closed before it grows beyond this; a single array may.
MAX_ARRAYS_FILE_BYTES = 1_000_000_000


def sync_file(path: Path) -> None:
    """Have the operating system put a file's content on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Have the operating system put a folder's entries on disk. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    sync_file(path)


def in_command(path: Path) -> str:
    """A path as a shell takes it in a command to copy: in quotes where it has more than plain characters."""
    words = str(path)
    return words if re.fullmatch(r"[\w@%+=:,./~\\-]+", words) else f'"{words}"'


def path_meant(folder: Path, written: str) -> Path:
    """The path that a config in `folder` means: relative to that folder, with `~` for the person's own."""
    return folder / os.path.expanduser(written)  # noqa: PTH111 - Path.expanduser raises for unknown users


def write_text_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step. Raises OSError."""
    # Always the same name: what a killed process left is written over. Two writers of one file must exclude each other.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json_atomically(path: Path, value: Any) -> None:
    """Replace a JSON file in one step. Raises OSError."""
    write_text_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
