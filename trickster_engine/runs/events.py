"""`events.jsonl`: one event a line, appended by the trainer and read by everyone else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

from trickster_engine.events import Event


class EventLog:
    """Appends events to `events.jsonl`, one whole line a write."""

    def __init__(self, path: Path) -> None:
        drop_torn_line(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: Event) -> None:
        """Append one event. Raises OSError (for instance a full disk)."""
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        data = line.encode("utf-8", "replace")
        written = os.write(self._file, data)
        if written != len(data):
            raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Close the file; the log cannot be written to afterwards."""
        os.close(self._file)


def drop_torn_line(path: Path) -> None:
    """Cut off a last line without a newline, left by a process that was killed while it wrote."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position != end:
            file.truncate(position)


def read_events(path: Path, offset: int = 0, max_bytes: int | None = None) -> tuple[list[Event], int]:
    """Read the complete lines from byte `offset` on.

    Returns the events and the offset after the last complete line, from which a later call goes on. A line still being
    written is left for that call; a line that is not JSON is passed over. A file that is not there, or that cannot be
    read now (no right to it, a disk that fails, a network share that is away), has nothing new.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read() if max_bytes is None else file.read(max_bytes)
            if max_bytes is not None and data and b"\n" not in data:
                data += file.readline()
    except OSError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    events: list[Event] = []
    for line in whole.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # thousands of brackets in one line are no event either
            continue
        if isinstance(event, dict) and "kind" in event:
            events.append(cast(Event, event))
    return events, offset + len(whole)
