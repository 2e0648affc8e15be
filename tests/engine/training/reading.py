"""Reading what a run has written: events of one kind, and a checkpoint by itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trickster_engine.model.checksums import verify
from trickster_engine.runs.checkpoint_files import Checkpoint, read_verified
from trickster_engine.runs.event_types import Event


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint. Raises TricksterError where it is damaged or holds no trainer's state."""
    verify(path)
    return read_verified(path)


def of_kind(events: Iterable[Event], kind: str) -> list[dict[str, Any]]:
    """The events of a kind that is known only when the test runs; where it is written down, mypy follows `if`."""
    return [dict(event) for event in events if event["kind"] == kind]
