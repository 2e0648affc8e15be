"""Standard input and output as a language server needs them: frames in, frames out, and nothing else on either.

Three things are guarded here. The stream belongs to the protocol: a stray `print`, in this process or in one that
inherits its output, goes to standard error. A frame that cannot be read is answered or passed over and the next one is
found again. And neither reading nor writing ever holds up the event loop: each has a thread of its own.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

MAX_BODY = 256 * 1024 * 1024
MAX_HEADER_LINE = 64 * 1024
MAX_WAITING = 10_000
"""Messages read ahead of the loop. Reading ahead is what lets a cancel overtake the request that still waits."""


class Frame(NamedTuple):
    """One message from the client, or why there is none."""

    message: Any
    error: str | None = None


def take_over_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep file descriptors 0 and 1 for the protocol alone; give back the streams to read from and write to.

    Whatever writes to standard output afterwards (a `print`, a library, a child process) reaches standard error, and
    whatever reads standard input finds it empty.
    """
    sys.stdout.flush()
    incoming = os.fdopen(os.dup(0), "rb", buffering=64 * 1024)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return incoming, outgoing


def frames(stream: BinaryIO) -> Iterator[Frame]:
    """The messages of a stream, until it ends. What cannot be read is reported, and the next header looked for."""
    while True:
        length = _read_headers(stream)
        if length is None:
            return
        if length < 0:
            yield Frame(None, "a header without a usable Content-Length")
            continue
        if length > MAX_BODY:
            yield Frame(None, f"a message of {length} bytes, more than the {MAX_BODY} that are read")
            if not _skip(stream, length):
                return
            continue
        body = stream.read(length)
        if len(body) < length:
            return
        yield _decode(body)


def _decode(body: bytes) -> Frame:
    try:
        return Frame(json.loads(body))
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of 5,000 digits, nested too deeply
        return Frame(None, f"a message that is not JSON ({error})")


def _read_headers(stream: BinaryIO) -> int | None:
    """The announced length; -1 where the header says none; None at the end of the stream."""
    length = -1
    seen_any = False
    while True:
        line = stream.readline(MAX_HEADER_LINE)
        if not line:
            return None
        text = line.strip()
        if not text:
            if seen_any:
                return length
            continue  # blank lines between frames do no harm
        seen_any = True
        name, _, value = text.partition(b":")
        if name.strip().lower() == b"content-length":
            digits = value.strip()
            length = int(digits) if digits.isdigit() and len(digits) < 19 else -1


def _skip(stream: BinaryIO, length: int) -> bool:
    while length > 0:
        part = stream.read(min(length, 1 << 20))
        if not part:
            return False
        length -= len(part)
    return True


class FrameReader:
    """Reads frames in a thread of its own and hands each to `deliver`, and None when the client is gone."""

    def __init__(self, stream: BinaryIO, deliver: Callable[[Frame | None], None]) -> None:
        self._stream = stream
        self._deliver = deliver
        # A client that sends faster than we answer is held back by the pipe instead of filling our memory.
        self._room = threading.Semaphore(MAX_WAITING)
        # A daemon: it sits in a read that nothing can interrupt, and must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="read-client", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def done_with_one(self) -> None:
        """Say that a delivered frame has been dealt with."""
        self._room.release()

    def _run(self) -> None:
        try:
            for frame in frames(self._stream):
                self._room.acquire()
                self._deliver(frame)
        except (OSError, ValueError):
            pass  # the stream was closed under us; the same as its end
        finally:
            self._deliver(None)


class FrameWriter:
    """Writes messages in a thread of its own, in the order given. Has the form that pygls asks of a writer."""

    def __init__(self, stream: BinaryIO, failed: Callable[[], None]) -> None:
        self._stream = stream
        self._failed = failed
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="write-client", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Put one message in line."""
        self._waiting.put(b"Content-Length: %d\r\n\r\n" % len(data) + data)

    def close(self) -> None:
        """Write what waits, for two seconds at most: a client that does not read cannot keep us."""
        self._waiting.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while (data := self._waiting.get()) is not None:
                view = memoryview(data)
                while view:
                    view = view[self._stream.write(view) or 0 :]
        except (OSError, ValueError):
            self._failed()
