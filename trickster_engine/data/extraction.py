"""Text out of compressed files, archives and records, written once as plain UTF-8 that every later step reads.

A compressed file and a record cannot be cut by bytes, and their sizes do not tell how much text they hold. So one
process reads them through, a few megabytes at a time, into a work folder, and notes from time to time how far it is:
whoever prepares the same text next goes on there. What follows treats the result as a text file like any other, in one
process or in many. It is removed when the tokens are whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from trickster_engine.config.corpus_files import LeftOut, file_now, unreadable
from trickster_engine.data.corpus import BEGINNING, Corpus, Place, Reading
from trickster_engine.data.documents import MARKED
from trickster_engine.data.records import Progress
from trickster_engine.data.scan import corpus_changed
from trickster_engine.data.sharded.prepare_shards import Manner
from trickster_engine.data.sharded.work_folder import JOURNAL_BYTES, storing
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import create_file, open_to_append, read_bytes
from trickster_engine.system.json_checksum import seal, unseal
from trickster_engine.system.progress_bar import tqdm
from trickster_engine.system.unpacking import archive_grows, archives_kept_open, largest_from

_PIECE_BYTES = 1 << 20
_NOTED_BYTES = 32 << 20  # of text, after which it is noted how far reading is
_REPORTED_S = 5.0


@dataclass(frozen=True)
class _Note:
    """How far extraction is."""

    bytes: int = 0  # of text that is written
    place: Place = BEGINNING
    left_out: LeftOut | None = None
    done: bool = False

    def as_json(self) -> dict[str, Any]:
        return asdict(replace(self, left_out=(self.left_out or LeftOut()).shortened()))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> _Note:
        left_out = LeftOut(value["left_out"]["counts"], value["left_out"]["names"])
        return cls(value["bytes"], Place(**value["place"]), left_out, value["done"])


def extract(corpus: Corpus, folder: Path, name: str, manner: Manner) -> tuple[Corpus, LeftOut]:
    """Return the corpus as one text file in `folder`, and what of it was left out while it was read.

    Raises TricksterError: what `Corpus.text_chunks` says, corpus-empty, corpus-changed, disk-full, cache-unwritable.
    """
    target, journal = folder / f"{name}.txt", folder / f"{name}.jsonl"
    note = _last(journal, target)
    if not note.done:
        note = _read_through(corpus, target, journal, note, manner)
    left_out = (note.left_out or LeftOut()).shortened()
    if note.bytes == 0:
        raise TricksterError(
            "corpus-empty", f"The corpus {corpus.path} contains no text.{_of(left_out)}", "Add text to it."
        )
    return plain_corpus(corpus, target), left_out


def plain_corpus(corpus: Corpus, target: Path) -> Corpus:
    """The corpus as it is once its text lies in one file: line ends are as wanted, and documents are marked."""
    reading = Reading() if corpus.reading.is_stream else Reading(documents=MARKED)
    return replace(corpus, kind="file", path=target, files=(file_now(target),), reading=reading, left_out=LeftOut())


def _of(left_out: LeftOut) -> str:
    return f" Skipped: {left_out.as_text()}." if left_out.total else ""


def _read_through(corpus: Corpus, target: Path, journal: Path, note: _Note, manner: Manner) -> _Note:
    title = f"Unpacking {corpus.title}"
    known = sum(file.size for file in corpus.files[: note.place.file])
    with (
        tqdm(
            total=corpus.size,
            initial=known,
            desc=title,
            unit="B",
            unit_scale=True,
            delay=0.5,
            disable=not manner.progress,
        ) as bar,
        contextlib.closing(_reopened(target, note.bytes)) as stream,
        archives_kept_open(),
    ):
        told = time.monotonic()

        def advance(count: int) -> None:
            nonlocal told, known
            known += count
            bar.update(count)
            if manner.report is not None and time.monotonic() - told > _REPORTED_S:
                told = time.monotonic()
                manner.report(f"{title}: {min(1.0, known / max(1, corpus.size)):.0%}")

        progress = Progress(note.left_out or LeftOut(), advance)
        # Each file alone may be harmless: together they are no more than what one may be.
        most = largest_from(_bytes_on_disk(corpus))
        written = noted = note.bytes
        for text, place in corpus.pieces(progress, note.place, _PIECE_BYTES):
            if manner.interrupt is not None:
                manner.interrupt()
            data = text.encode("utf-8")
            with storing(target):
                stream.write(data)
            written += len(data)
            if written > most:
                raise archive_grows(str(corpus.path))
            if place is not None and written - noted >= _NOTED_BYTES:
                noted = written
                _write_note(journal, stream, _Note(written, place, progress.left_out))
        for file in corpus.files:
            if not file.is_as_it_was():
                raise corpus_changed(file.path)
        last = _Note(written, Place(len(corpus.files)), progress.left_out, done=True)
        _write_note(journal, stream, last)
    return last


def _bytes_on_disk(corpus: Corpus) -> int:
    size = 0
    for path in {file.path for file in corpus.files}:  # an archive is one file
        try:
            size += path.stat().st_size
        except OSError as error:
            raise unreadable(path, error) from error
    return size


def _reopened(target: Path, size: int) -> BinaryIO:
    with storing(target):
        if not os.path.lexists(target):
            return create_file(target)
        stream = open_to_append(target)
        stream.truncate(size)
        return stream


def _write_note(journal: Path, stream: BinaryIO, note: _Note) -> None:
    with storing(journal):
        stream.flush()
        os.fsync(stream.fileno())
        line = json.dumps(seal(note.as_json(), journal.name))
        with open_to_append(journal) as notes:
            notes.write(f"\n{line}".encode())  # the newline first: behind what a kill left of the last entry


def _last(journal: Path, target: Path) -> _Note:
    """The last note that still holds."""
    found = _Note()
    with contextlib.suppress(OSError):
        size = target.stat().st_size
        for line in read_bytes(journal, JOURNAL_BYTES).splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                note = _Note.from_json(unseal(json.loads(line), journal.name))
                if note.bytes == size if note.done else note.bytes <= size:
                    found = note
    return found


@contextlib.contextmanager
def kept_for_next_time(folder: Path) -> Iterator[None]:
    """Keep the work in a folder when it is called off or killed; remove it after a failure that will come again."""
    try:
        with storing(folder):
            folder.mkdir(exist_ok=True)
        yield
    except TricksterError as error:
        if error.code not in ("preparing-failed", "stopped-while-preparing"):
            shutil.rmtree(folder, ignore_errors=True)
        raise
