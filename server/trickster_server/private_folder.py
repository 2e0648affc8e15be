"""A folder for files that one server shows and nobody else is to read, change or foresee."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path


class PrivateFolder:
    """Made with the first file, under a random name that only this user may enter; gone when the server ends."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._lock = threading.Lock()

    def write(self, name: str, text: str) -> Path:
        """Write a file. Raises OSError. Touches the disk: for threads."""
        with self._lock:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="trickster-"))
            path = self._path / name
            path.write_text(text, encoding="utf-8")
            return path

    def remove(self) -> None:
        """Remove it with all it holds."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None
