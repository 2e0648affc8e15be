"""Text of UTF-8 files in chunks: whole files, ranges of bytes, compressed ones, members of archives."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from trickster_engine.config.corpus_files import CorpusFile, unreadable
from trickster_engine.data.corpus_errors import binary, not_utf8
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import open_plain
from trickster_engine.system.unpacking import open_unpacked

_UTF8_BOM = codecs.BOM_UTF8
_OTHER_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32LE"),  # before UTF-16LE, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "UTF-32BE"),
    (codecs.BOM_UTF16_LE, "UTF-16LE"),
    (codecs.BOM_UTF16_BE, "UTF-16BE"),
)


def with_lf(chunks: Iterable[str]) -> Iterator[str]:
    """Yield a text with one LF for each CR LF and each single CR."""
    held = ""
    for chunk in chunks:
        text = held + chunk
        held = "\r" if text.endswith("\r") else ""
        if text := text[: len(text) - len(held)]:
            yield text.replace("\r\n", "\n").replace("\r", "\n")
    if held:
        yield "\n"


def read_file_chunks(
    file: CorpusFile,
    chunk_bytes: int = 1 << 20,
    advance: Callable[[int], None] | None = None,
    *,
    marks: bool = False,
) -> Iterator[str]:
    """Yield the text of a UTF-8 file, compressed or not, or of a member of an archive; errors as `text_chunks`."""
    if not file.is_packed:
        for chunk in read_text_chunks(file.path, chunk_bytes, size=file.size, marks=marks):
            yield chunk
            if advance is not None:
                advance(len(chunk))
        return
    try:
        with open_unpacked(file.path, file.member, advance=advance) as stream:
            yield from _decoded(stream, file.path, chunk_bytes, member=file.member)
    except OSError as error:
        raise unreadable(file.path, error) from error


def read_text_chunks(
    path: Path,
    chunk_bytes: int = 1 << 20,
    begin: int = 0,
    end: int | None = None,
    *,
    size: int | None = None,
    marks: bool = False,
) -> Iterator[str]:
    """Yield one UTF-8 file's text in chunks, or that of its bytes from `begin` to before `end`.

    `begin` and `end` have to lie between two characters. See `Corpus.text_chunks` for the errors, and `corpus-changed`
    for a file that holds more than `size` bytes by now: one that grows while it is read may never end. `marks`: a zero
    character is no error, but the end of a document.
    """
    try:
        with open_plain(path, follow_links=True) as stream:
            stream.seek(begin)
            yield from _decoded(stream, path, chunk_bytes, begin, end, size=size, marks=marks)
    except OSError as error:
        raise unreadable(path, error) from error


def _decoded(
    stream: BinaryIO,
    path: Path,
    chunk_bytes: int,
    begin: int = 0,
    end: int | None = None,
    *,
    size: int | None = None,
    member: str = "",
    marks: bool = False,
) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    consumed = begin  # bytes of the file handed to the decoder so far, and those before
    while True:
        data = stream.read(chunk_bytes if end is None else min(chunk_bytes, end - consumed))
        start = 0
        if consumed == 0:
            for mark, encoding in _OTHER_BOMS:
                if data.startswith(mark):
                    raise not_utf8(path, 0, data[0], encoding, member)
            start = len(_UTF8_BOM) if data.startswith(_UTF8_BOM) else 0
        zero = -1 if marks else data.find(b"\0")
        if zero >= 0:
            raise binary(path, consumed + zero, member)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data[start:] if start else data, final=not data)
        except UnicodeDecodeError as error:
            offset = consumed + start - pending + error.start
            raise not_utf8(path, offset, error.object[error.start], member=member) from None
        consumed += len(data)
        if size is not None and consumed > size:
            raise TricksterError(
                "corpus-changed",
                f"The corpus {path} grew while it was being read.",
                "Try again when nothing writes to it.",
            )
        if text:
            yield text
        if not data:
            return
