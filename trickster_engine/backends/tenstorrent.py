"""Whether this machine can train on a Tenstorrent board. Opens nothing and imports nothing heavy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DEVICE_FOLDER = Path("/dev/tenstorrent")


def board_present() -> bool:
    """Whether the driver shows a board and a package called ttml can be found (which one, the backend checks)."""
    boards = DEVICE_FOLDER.is_dir() and any(DEVICE_FOLDER.iterdir())
    return boards and importlib.util.find_spec("ttml") is not None
