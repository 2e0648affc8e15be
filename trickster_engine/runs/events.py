"""`events.jsonl`: one event a line, appended by the trainer and read by everyone else.

Anybody may have written what is read here: only a plain file is opened, every line is checked, what is not understood
is left out and counted, and no line is held that is longer than any event.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from trickster_engine.runs.event_types import Event
from trickster_engine.runs.schema import event_line, parse_event
from trickster_engine.system.files import NotAPlainFileError, TooLargeError, open_plain, open_to_append
from trickster_engine.system.os_errors import reason

#: Bytes of the longest line that is read; those that `EventLog` writes are shorter.
LINE_LIMIT = 1 << 20
#: A file with more is none of ours: some twenty million events.
FILE_LIMIT = 4 << 30
_PIECE = 1 << 18
_PASSED_AT_ONCE = 64 << 20


class EventLog:
    """Appends events to `events.jsonl`, one whole line a write."""

    def __init__(self, path: Path) -> None:
        self._file = open_to_append(path)
        try:
            _drop_torn_line(path, self._file)
        except BaseException:
            self._file.close()
            raise

    def write(self, event: Event) -> None:
        """Append one event. Raises OSError (for instance a full disk), and leaves no half line behind then."""
        data, file = event_line(event), self._file.fileno()
        before = os.fstat(file).st_size
        written = os.write(file, data)
        if written != len(data):
            os.ftruncate(file, before)
            raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Close the file; the log cannot be written to afterwards."""
        self._file.close()


def _drop_torn_line(path: Path, appended: BinaryIO) -> None:
    with open_plain(path) as file:
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
        os.ftruncate(appended.fileno(), position)


class Piece(NamedTuple):
    """What one read has found."""

    events: list[Event]
    after: int  # the offset from which a later read goes on
    left_out: int = 0  # lines that were not understood
    more: bool = False  # whether the read ended before the file's last whole line
    trouble: str | None = None  # why nothing can be read, in words; None also where there is no file


def read_piece(path: Path, offset: int = 0, max_bytes: int = _PIECE, max_lines: int = sys.maxsize) -> Piece:
    """Read whole lines from byte `offset` on: at least one, about `max_bytes`, and no more than `max_lines`.

    A line still being written is left for a later read. A file that is not there, or that cannot be read now (no right
    to it, a disk that fails, a network share that is away), has nothing new.
    """
    lines: list[bytes] = []
    overlong, begun, more, trouble = 0, offset, False, None
    try:
        with open_plain(path) as file:
            if os.fstat(file.fileno()).st_size > FILE_LIMIT:
                raise TooLargeError(path, FILE_LIMIT)
            file.seek(offset)
            for line, length in _lines(file):
                if offset - begun >= max_bytes or len(lines) >= max_lines:
                    more = True
                    break
                offset += length
                if line is None:
                    overlong += 1
                else:
                    lines.append(line)
    except FileNotFoundError:
        pass
    except NotAPlainFileError as error:
        trouble = f"is a {error.kind}, not a plain file"
    except OSError as error:
        trouble = f"cannot be read ({reason(error)})"
    events, left_out = parse_lines(lines)
    return Piece(events, offset, left_out + overlong, more, trouble)


def _lines(file: BinaryIO) -> Iterator[tuple[bytes | None, int]]:
    """Every whole line and its length; None for one above the limit, of which no more than that is held."""
    while line := file.readline(LINE_LIMIT):
        if line.endswith(b"\n"):
            yield line, len(line)
        elif len(line) == LINE_LIMIT:
            length = len(line)
            # Passed over also where it has no end yet: whoever looks ten times a second must not read it each time.
            while length < _PASSED_AT_ONCE and (rest := file.readline(LINE_LIMIT)):
                length += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield None, length
        else:
            return


def parse_lines(lines: Iterable[bytes]) -> tuple[list[Event], int]:
    """The events in some lines, and how many lines were not understood."""
    events, left_out = [], 0
    for line in lines:
        try:
            event = parse_event(line)
        except ValueError:
            left_out += 1
            continue
        if event is not None:
            events.append(event)
    return events, left_out


def pieces(path: Path, offset: int = 0, max_bytes: int = _PIECE) -> Iterator[Piece]:
    """All whole lines that are there, piece by piece."""
    while True:
        piece = read_piece(path, offset, max_bytes)
        yield piece
        if not piece.more:
            return
        offset = piece.after


def read_ends(path: Path, length: int) -> Piece:
    """The first event and those in the last `length` bytes: where a run stands, however long it is."""
    try:
        with open_plain(path) as file:
            head = file.read(length)
            first = head.find(b"\n") + 1
            size = os.fstat(file.fileno()).st_size
            start = max(size - length, first)
            if size > length:
                file.seek(start)
                tail = file.read(length)
            else:
                tail = head[start:]
    except OSError:
        return Piece([], 0)
    end = tail.rfind(b"\n") + 1
    # What is cut off at the beginning of the last bytes is no line.
    begin = tail.find(b"\n") + 1 if start > first else 0
    events, left_out = parse_lines([head[:first], *tail[begin:end].splitlines()] if first else [])
    return Piece(events, start + end, left_out)


def begun(path: Path) -> float:
    """When the first event of a run was written; 0 where nothing can be said."""
    first = read_piece(path, max_lines=1).events
    return first[0]["t"] if first else 0.0


def left_out_words(count: int) -> str:
    """What is said of lines that were not understood: `3 lines were not understood and are left out`."""
    lines = "1 line was" if count == 1 else f"{count:,} lines were"
    return f"{lines} not understood and {'is' if count == 1 else 'are'} skipped"


def read_events(path: Path, offset: int = 0, max_bytes: int | None = None) -> tuple[list[Event], int]:
    """The events from byte `offset` on, all of them or about `max_bytes`, and the offset from which to go on.

    For what is known to be short; `pieces` reads a file of any length.
    """
    if max_bytes is not None:
        piece = read_piece(path, offset, max_bytes)
        return piece.events, piece.after
    events: list[Event] = []
    for piece in pieces(path, offset):
        events += piece.events
        offset = piece.after
    return events, offset
