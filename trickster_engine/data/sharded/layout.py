"""Where a large corpus is cut into shards, so that many processes can work on it, and how one shard is read.

A cut never changes the tokens: it lies between something visible and white space, where no token of BPE runs across
(see `tokenizer.cut_safely`). Finding the cuts reads a few kilobytes around each of them, not the corpus.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import unreadable
from trickster_engine.data.corpus import Corpus, read_text_chunks, with_lf
from trickster_engine.data.corpus_errors import binary
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
    files = [file for file in corpus.files if file.size or len(corpus.files) == 1]
    for number, file in enumerate(files):
        begin, joined = 0, number > 0
        while True:
            # A byte-order mark is nothing visible: the newline that joins two files may stand right before it.
            least = begin + max(1, shard_bytes - held)
            cut = _safe_cut(file.path, max(least, len(codecs.BOM_UTF8) + 1), file.size)
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


def read_shard_text(shard: Shard, chunk_bytes: int = _CHUNK_BYTES, *, lf: bool = False) -> Iterator[str]:
    """Yield a shard's text in chunks, every line end as one LF where `lf`; errors as `Corpus.text_chunks`."""
    for span in shard:
        if span.joined:
            yield "\n"
        # A span never ends between a CR and its LF: cuts lie behind something visible.
        chunks = read_text_chunks(span.path, chunk_bytes, span.begin, span.end)
        yield from with_lf(chunks) if lf else chunks


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
