"""Reads a run to its end for what it has come to: of many step events in a row, the last one says it all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from trickster_engine.runs.events import FILE_LIMIT, Piece, parse_lines, pieces, read_piece
from trickster_engine.runs.schema import KINDS, SUM
from trickster_engine.system.files import open_plain

_CHUNK = 1 << 18


def skim(path: Path, whole_tail: int = 0) -> Iterator[Piece]:
    """As `pieces`, ten times as fast: of step events in a row, only the last.

    The last `whole_tail` bytes are read event by event. Lines that are passed over have the form in which `EventLog`
    writes step events; all others are checked.
    """
    offset = 0
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            end = size - whole_tail if size <= FILE_LIMIT else 0
            while offset < end:
                file.seek(offset)
                data = file.read(min(_CHUNK, end - offset))
                data = data[: data.rfind(b"\n") + 1]
                # A line that is not whole in the chunk is longer than any event, or the tail begins in it.
                piece = _skimmed(data, offset) if data else read_piece(path, offset, 1)
                yield piece
                if piece.after == offset:
                    return
                offset = piece.after
    except OSError:  # told of by the reader below
        pass
    yield from pieces(path, offset)


def _skimmed(data: bytes, offset: int) -> Piece:
    """The events of whole lines that begin at `offset` of their file."""
    lines, position = [], 0
    while position < len(data):
        # The first event of all says when the run began.
        if (position or offset) and (row := _STEPS.match(data, position)):
            last = max(position, data.rfind(b"\n", position, row.end() - 1) + 1)
            lines.append(data[last : row.end()])
            position = row.end()
        else:
            end = data.index(b"\n", position) + 1
            lines.append(data[position:end])
            position = end
    events, left_out = parse_lines(lines)
    return Piece(events, offset + len(data), left_out, more=True)


_NUMBER = rb"-?\d{1,17}\.?\d{0,25}(?:e[+-]?\d\d?)?"


def _form(name: str, hint: Any) -> bytes:
    """How a field that holds no text is written."""
    if name == "kind":
        value = b'"%s"' % get_args(hint)[0].encode()
    elif type(None) in get_args(hint):
        value = rb"(?:null|%s)" % _NUMBER
    else:
        value = _NUMBER
    return b'"%s":%s' % (name.encode(), value)


_FIELDS = b",".join(_form(name, hint) for name, hint in KINDS["step"].items())
_STEPS = re.compile(rb"(?:\{%s(?:%s)?\}\n)+" % (_FIELDS, SUM))
