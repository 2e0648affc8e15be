"""Reading a checkpoint by itself, as the product does only with one that it has just verified."""

from __future__ import annotations

from pathlib import Path

from trickster_engine.model.checksums import verify
from trickster_engine.runs.checkpoint_files import Checkpoint, read_verified


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint. Raises TricksterError where it is damaged or holds no trainer's state."""
    verify(path)
    return read_verified(path)
