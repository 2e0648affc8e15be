"""Where a large corpus is cut into shards, so that many processes can work on it, and how one shard is read.

A cut never changes the tokens: it lies between something visible and white space, where no token of BPE runs across
(see `tokenizer.cut_safely`), or, where there are documents, behind one of them. Finding the cuts reads a few kilobytes
around each of them, not the corpus.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import unreadable
from trickster_engine.data.corpus import Corpus, Reading
from trickster_engine.data.corpus_errors import binary
from trickster_engine.data.documents import MARK
from trickster_engine.data.read_text import read_text_chunks
from trickster_engine.system.files import open_plain

_LOOK_BYTES = 1 << 16  # read at a time in search of a place to cut
_CHUNK_BYTES = 1 << 20
# A blank with something before it; whether that is visible is looked at afterwards where it is not ASCII.
_BLANK_AFTER = re.compile(rb"[^\x00-\x20\x7f][ \n]")


@dataclass(frozen=True)
class Span:
    """Bytes `begin` to before `end` of a file."""

    path: Path
    begin: int
    end: int
    joined: bool  # begins a file that is not the first: a newline stands before it

    @property
    def size(self) -> int:
        """Bytes of text, the joining newline included."""
        return self.end - self.begin + self.joined

    def as_json(self) -> list[Any]:
        """Return the span as plain JSON."""
        return [str(self.path), self.begin, self.end, self.joined]

    @classmethod
    def from_json(cls, values: list[Any]) -> Span:
        """Read what `as_json` gave."""
        return cls(Path(values[0]), *values[1:])


Shard = tuple[Span, ...]
_AS_IT_IS = Reading()


def shard_size(shard: Shard) -> int:
    """Return a shard's length in bytes, byte-order marks included."""
    return sum(span.size for span in shard)


def cut_into_shards(corpus: Corpus, shard_bytes: int) -> list[Shard]:
    """Cut a corpus into shards of at least `shard_bytes`, each ending at the first safe place; the last may be shorter.

    Shards joined are `corpus.text_chunks()` joined. Raises TricksterError: corpus-unreadable, corpus-binary.
    """
    shards: list[Shard] = []
    current: list[Span] = []
    held = 0
    find_cut = _cut_of(corpus.reading)
    files = [file for file in corpus.files if file.size or len(corpus.files) == 1]
    for number, file in enumerate(files):
        begin, joined = 0, number > 0 and corpus.reading.is_stream
        while True:
            # A byte-order mark is nothing visible: the newline that joins two files may stand right before it.
            least = begin + max(1, shard_bytes - held)
            cut = find_cut(file.path, max(least, len(codecs.BOM_UTF8) + 1), file.size)
            span = Span(file.path, begin, file.size if cut is None else cut, joined)
            current.append(span)
            held += span.size
            if cut is None:
                break
            shards.append(tuple(current))
            current, held = [], 0
            begin, joined = cut, False
    if current:
        shards.append(tuple(current))
    return shards


def read_shard_text(shard: Shard, chunk_bytes: int = _CHUNK_BYTES, *, reading: Reading = _AS_IT_IS) -> Iterator[str]:
    """Yield a shard's text in chunks; errors as `Corpus.text_chunks`."""
    for span in shard:
        if span.joined:
            yield "\n"
        # A span never ends between a CR and its LF: cuts lie behind something visible.
        chunks = read_text_chunks(span.path, chunk_bytes, span.begin, span.end, marks=reading.is_marked)
        yield from reading.text(chunks)


def read_shard_bytes(shard: Shard, chunk_bytes: int = _CHUNK_BYTES) -> Iterator[bytes]:
    """Yield a shard's text as UTF-8, in chunks that may end inside a character, without looking whether it is text."""
    for span in shard:
        if span.joined:
            yield b"\n"
        try:
            with open_plain(span.path, follow_links=True) as stream:
                at = span.begin
                stream.seek(at)
                while at < span.end and (data := stream.read(min(chunk_bytes, span.end - at))):
                    text = data.removeprefix(codecs.BOM_UTF8) if at == 0 else data
                    at += len(data)
                    yield text
        except OSError as error:
            raise unreadable(span.path, error) from error


def read_portion(shard: Shard, offset: int, size: int) -> str:
    """Return about `size` bytes of a shard's text from the first safe place behind `offset` on; perhaps nothing."""
    at, pieces, left = 0, [], size
    for span in shard:
        skipped = max(0, offset - at)
        at += span.size
        if skipped >= span.size or left <= 0:
            continue
        begin = min(span.begin + skipped, span.end)
        try:
            with open_plain(span.path, follow_links=True) as stream:
                stream.seek(begin)
                data = stream.read(min(left, span.end - begin))
        except OSError as error:
            raise unreadable(span.path, error) from error
        left -= len(data)
        pieces.append(data)
    # Characters cut in two are at the ends alone, and so are the marks that were not meant as text.
    text = b"\n".join(pieces).decode("utf-8", "ignore").lstrip("\ufeff")
    first, last = re.search(r"(?<=\S)[ \n]", text), text.rfind(" ")
    return text[first.start() : last] if first else ""


#: Finds the first place to cut a file at or behind `begin`, before `end`; None where there is none.
FindCut = Callable[[Path, int, int], "int | None"]


def _cut_of(reading: Reading) -> FindCut:
    """How to find where a file may be cut."""
    if reading.is_stream:
        return _safe_cut
    if reading.documents == "files":
        return lambda path, begin, end: None
    if reading.is_marked:
        return _mark_cut
    separator = reading.separator if reading.documents == "separated" else "\n"
    ends = rb"(?:\r\n|(?<!\r)\n|\r(?!\n))" if reading.lf else rb"\n"
    pattern = ends.join(re.escape(part.encode("utf-8")) for part in separator.split("\n"))
    longest = 2 * len(separator.encode("utf-8"))
    return partial(_document_cut, re.compile(b"(?=(%s))" % pattern, re.DOTALL), longest, not separator.strip("\r\n"))


def _document_cut(
    separators: re.Pattern[bytes], longest: int, line_ends: bool, path: Path, begin: int, end: int
) -> int | None:
    """Return the first place in [begin, end) behind a separator of up to `longest` bytes, or None where there is none.

    One that overlaps with another, as in a longer line of dashes, is none: which of them separate is only seen from
    before them. Of `line_ends` every one does, as those left over belong to it.
    """
    try:
        with open_plain(path, follow_links=True) as stream:
            while begin < end:
                context = min(begin, 2 * longest)
                stream.seek(begin - context)
                data = stream.read(min(_LOOK_BYTES + 4 * longest, end - begin + context))
                if len(data) <= context:
                    return None
                if (zero := data.find(b"\0")) >= 0:
                    raise binary(path, begin - context + zero)
                known = len(data) - (longest if begin - context + len(data) < end else 0)
                spans = [(match.start(), match.end(1)) for match in separators.finditer(data)]
                for number, (start, stop) in enumerate(spans):
                    alone = line_ends or (
                        (number == 0 or spans[number - 1][1] <= start)
                        and (number + 1 == len(spans) or spans[number + 1][0] >= stop)
                    )
                    place = begin - context + stop
                    if alone and stop <= known and begin <= place < end:
                        return place
                begin += max(1, known - context)
    except OSError as error:
        raise unreadable(path, error) from error
    return None


def _mark_cut(path: Path, begin: int, end: int) -> int | None:
    """Return the first place in [begin, end) behind a mark, or None where there is none."""
    try:
        with open_plain(path, follow_links=True) as stream:
            at = begin - 1
            stream.seek(at)
            while data := stream.read(max(0, min(_LOOK_BYTES, end - 1 - at))):
                if (mark := data.find(MARK.encode())) >= 0:
                    return at + mark + 1
                at += len(data)
    except OSError as error:
        raise unreadable(path, error) from error
    return None


def _safe_cut(path: Path, begin: int, end: int) -> int | None:
    """Return the first safe place in [begin, end), or None where there is none."""
    try:
        with open_plain(path, follow_links=True) as stream:
            while begin < end:
                context = min(begin, 4)  # enough for any character
                stream.seek(begin - context)
                data = stream.read(min(_LOOK_BYTES, end - begin + context))
                if len(data) <= context:
                    return None
                if (zero := data.find(b"\0")) >= 0:  # a file of holes would be searched for hours
                    raise binary(path, begin - context + zero)
                for match in _BLANK_AFTER.finditer(data, max(0, context - 1)):
                    place = match.start() + 1
                    before = data[max(0, place - 4) : place].decode("utf-8", "ignore")
                    if place >= context and before and not before[-1].isspace():
                        return begin - context + place
                begin += len(data) - context
    except OSError as error:
        raise unreadable(path, error) from error
    return None
