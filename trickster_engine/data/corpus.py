"""Find a corpus and read it as a stream of text. Standard library only, so that a language server can ask as well.

A corpus is `shakespeare` (Tiny Shakespeare), `python` (the standard library's own source), a UTF-8 text file, or a
folder of such files. Whatever it is, it is read in chunks: nothing here ever holds a whole corpus in memory.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trickster_engine.config.corpus_files import (
    SHAKESPEARE_BYTES,
    CorpusFile,
    CorpusKind,
    LeftOut,
    TextFiles,
    file_now,
    find_text_files,
    unreadable,
    walk,
)
from trickster_engine.config.own_output import NOTHING, OwnOutput
from trickster_engine.config.settings import STREAM
from trickster_engine.data.cache import cache_directory
from trickster_engine.data.documents import mark_documents
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command, open_plain, path_meant

__all__ = ["Corpus", "CorpusDescription", "CorpusFile", "describe_corpus", "file_now", "resolve_corpus", "text_files"]

SHAKESPEARE_FILE = "tinyshakespeare.txt"
SHAKESPEARE_URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

# Parts of the standard library's folder that are not the library: what was installed later, and the test suites.
_NOT_STANDARD_LIBRARY = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "turtledemo"}
)
#: A folder with more entries than this is not described: looking at them would take seconds.
MOST_FILES_DESCRIBED = 20_000
_UTF8_BOM = codecs.BOM_UTF8
_OTHER_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32LE"),  # before UTF-16LE, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "UTF-32BE"),
    (codecs.BOM_UTF16_LE, "UTF-16LE"),
    (codecs.BOM_UTF16_BE, "UTF-16BE"),
)


@dataclass(frozen=True)
class Corpus(TextFiles):
    """A resolved corpus: which files, in which order. Reading it is `text_chunks`."""

    lf: bool = False  # every line end is read as one LF
    documents: str = STREAM  # what a document is, as `data_config.documents` names it
    separator: str = ""  # between documents that are `separated`
    text_field: str = "text"  # of a record, where documents are records

    @property
    def title(self) -> str:
        """A name for people."""
        if self.kind == "shakespeare":
            return "Tiny Shakespeare"
        if self.kind == "python":
            return "Python's standard library"
        return self.name

    def text_chunks(self, chunk_bytes: int = 1 << 20) -> Iterator[str]:
        """Yield the text in order, at most about `chunk_bytes` characters at a time.

        Files are joined by one newline where they are a stream; of documents, each is ended by MARK, and a file's end
        ends one (see `documents.py`). Line ends are kept, unless `lf` is set. A UTF-8 byte-order mark at the start of
        a file is not text and is dropped.

        Raises TricksterError `corpus-binary` or `corpus-not-utf8` with the file and the byte offset.
        """
        first = True
        for file in self.files:
            if file.size == 0 and len(self.files) > 1:
                continue
            chunks: Iterator[str]
            if self.kind == "python":  # a few files of the library are in other encodings on purpose: left out
                whole = _text_or_none(file)
                if not whole:
                    continue
                chunks = iter((whole,))
            else:
                chunks = read_text_chunks(file.path, chunk_bytes, size=file.size)
            if not first and self.documents == STREAM:
                yield "\n"
            first = False
            yield from self.in_documents(with_lf(chunks) if self.lf else chunks)

    def in_documents(self, chunks: Iterable[str]) -> Iterator[str]:
        """Yield a file's text, or part of it that holds whole documents, with MARK behind each document."""
        return mark_documents(chunks, self.documents, self.separator)


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


def read_text_chunks(
    path: Path, chunk_bytes: int = 1 << 20, begin: int = 0, end: int | None = None, *, size: int | None = None
) -> Iterator[str]:
    """Yield one UTF-8 file's text in chunks, or that of its bytes from `begin` to before `end`.

    `begin` and `end` have to lie between two characters. See `Corpus.text_chunks` for the errors, and `corpus-changed`
    for a file that holds more than `size` bytes by now: one that grows while it is read may never end.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    consumed = begin  # bytes of the file handed to the decoder so far, and those before
    try:
        with open_plain(path, follow_links=True) as stream:
            stream.seek(begin)
            while True:
                data = stream.read(chunk_bytes if end is None else min(chunk_bytes, end - consumed))
                start = 0
                if consumed == 0:
                    for mark, encoding in _OTHER_BOMS:
                        if data.startswith(mark):
                            raise _not_utf8(path, 0, data[0], encoding)
                    start = len(_UTF8_BOM) if data.startswith(_UTF8_BOM) else 0
                zero = data.find(b"\0")
                if zero >= 0:
                    raise binary(path, consumed + zero)
                pending = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(data[start:] if start else data, final=not data)
                except UnicodeDecodeError as error:
                    offset = consumed + start - pending + error.start
                    raise _not_utf8(path, offset, error.object[error.start]) from None
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
    except OSError as error:
        raise unreadable(path, error) from error


def resolve_corpus(
    name: str,
    folder: Path,
    *,
    own: OwnOutput = NOTHING,
    most: int | None = None,
) -> Corpus:
    """Find the corpus that `data_config.corpus` names; paths are relative to `folder`.

    `shakespeare` is taken from the folder in TRICKSTER_CORPUS_DIR, else from the user's cache; `download.py` fetches it
    there. The names `shakespeare` and `python` win over files called so; write `./python` for such a file.
    `own` is left out of a folder, of which `most` files are looked at. Raises TricksterError: corpus-missing,
    corpus-unreadable, corpus-empty, corpus-not-a-file, corpus-no-text-files, corpus-is-the-config, corpus-is-a-run,
    corpus-wrong-sum, corpus-unavailable.
    """
    if name == "shakespeare":
        return _shakespeare()
    if name == "python":
        return _python()
    return text_files(name, folder, most, own=own)


@dataclass(frozen=True)
class CorpusDescription:
    """What can be said about a corpus without reading it."""

    name: str
    kind: CorpusKind
    path: Path | None  # None: not known before it is downloaded
    files: int
    bytes: int
    characters: int | None  # None where only reading would tell; never more than `bytes`
    problem: TricksterError | None = None
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)


def describe_corpus(name: str, folder: Path, own: OwnOutput = NOTHING) -> CorpusDescription:
    """Describe a corpus from file sizes alone: no reading, no network, never raises; see `problem`.

    Of a folder with a great many files nothing is said but that it is there: `bytes` is 0.
    """
    if name == "shakespeare":
        return CorpusDescription(name, "shakespeare", None, 1, SHAKESPEARE_BYTES, SHAKESPEARE_BYTES)
    try:
        corpus = _python() if name == "python" else text_files(name, folder, MOST_FILES_DESCRIBED, own=own)
    except TricksterError as error:
        if error.code == "corpus-too-many-files":
            return CorpusDescription(name, "folder", path_meant(folder, name), 0, 0, None)
        return CorpusDescription(name, "python" if name == "python" else "file", None, 0, 0, None, error)
    taken = sum(file.size > 0 for file in corpus.files)
    return CorpusDescription(name, corpus.kind, corpus.path, taken, corpus.size, None, None, corpus.left_out)


# ---------------------------------------------------------------------------------------------------------------------


def _shakespeare() -> Corpus:
    given = os.environ.get("TRICKSTER_CORPUS_DIR")
    if given:
        own = path_meant(Path(), given) / SHAKESPEARE_FILE
        if own.is_file():
            if not _is_shakespeare(own):
                raise TricksterError(
                    "corpus-wrong-sum",
                    f"{own} is not the expected Tiny Shakespeare: its SHA-256 differs.",
                    f"Replace it with the file from {SHAKESPEARE_URL}, or use it as your own corpus: "
                    f"data_config.corpus: {own}",
                )
            return Corpus("shakespeare", "shakespeare", own, (file_now(own),))
    cached = cache_directory() / SHAKESPEARE_FILE
    if cached.is_file() and _is_shakespeare(cached):
        return Corpus("shakespeare", "shakespeare", cached, (file_now(cached),))
    raise TricksterError(
        "corpus-unavailable",
        f"Tiny Shakespeare is not on this machine (looked in {cached.parent}" + (f" and {given})." if given else ")."),
        shakespeare_advice(),
    )


def _is_shakespeare(path: Path) -> bool:
    return path.stat().st_size == SHAKESPEARE_BYTES and file_sha256(path) == SHAKESPEARE_SHA256


def shakespeare_advice() -> str:
    """Say how to get Tiny Shakespeare without this machine's help."""
    return (
        f"Save {SHAKESPEARE_URL} as {SHAKESPEARE_FILE} in a folder and set TRICKSTER_CORPUS_DIR to that folder,"
        " or train on other text: data_config.corpus: python (the source of Python's standard library, on every"
        " machine), or the path of a text file of your own."
    )


def _python() -> Corpus:
    root = Path(sysconfig.get_paths()["stdlib"])
    files: tuple[CorpusFile, ...] = ()
    if root.is_dir():
        files, _ = walk(
            root, lambda path: None if path.suffix == ".py" else "not Python", skipped_folders=_NOT_STANDARD_LIBRARY
        )
    if not files:
        raise TricksterError(
            "corpus-missing",
            f"This Python has no source files of its standard library (looked in {root}).",
            "Use another corpus: data_config.corpus: shakespeare, or the path of a text file of your own.",
        )
    return Corpus("python", "python", root, files)


def text_files(name: str, folder: Path, most: int | None = None, *, own: OwnOutput = NOTHING) -> Corpus:
    """Find the file or folder of text called `name`, relative to `folder`; see `find_text_files`."""
    return Corpus(**vars(find_text_files(name, folder, most, own=own)))


def _text_or_none(file: CorpusFile) -> str | None:
    try:
        return "".join(read_text_chunks(file.path, size=file.size))
    except TricksterError as error:
        if error.code in ("corpus-binary", "corpus-not-utf8"):
            return None
        raise


def file_sha256(path: Path) -> str:
    """Return the SHA-256 sum of a file, in hexadecimal. Raises TricksterError `corpus-unreadable`."""
    digest = hashlib.sha256()
    try:
        with open_plain(path, follow_links=True) as stream:
            while data := stream.read(1 << 20):
                digest.update(data)
    except OSError as error:
        raise unreadable(path, error) from error
    return digest.hexdigest()


def binary(path: Path, offset: int) -> TricksterError:
    """Return the error for a file with a zero byte in it."""
    return TricksterError(
        "corpus-binary",
        f"{path} is not a text file: it has a zero byte at offset {offset:,}.",
        "Point data_config.corpus at plain text saved as UTF-8. A PDF, a word processor's file or an archive has to be"
        " exported as text first.",
    )


def _not_utf8(path: Path, offset: int, value: int, encoding: str | None = None) -> TricksterError:
    old, new = in_command(Path(path.name)), in_command(Path(f"{path.stem}-utf8.txt"))
    line = _line_of(path, offset)
    if encoding is not None:
        return TricksterError(
            "corpus-not-utf8",
            f"{path} is not UTF-8: it begins with the byte order mark of {encoding}.",
            f"Save it as UTF-8, for example: iconv -f {encoding[:6]} -t UTF-8 {old} > {new}",
        )
    return TricksterError(
        "corpus-not-utf8",
        f"{path} is not UTF-8: byte 0x{value:02x} at byte offset {offset:,} (line {line:,}) is not part of any "
        "character.",
        f"Save it as UTF-8. If it is an older Western text: iconv -f WINDOWS-1252 -t UTF-8 {old} > {new}",
    )


def _line_of(path: Path, offset: int) -> int:
    """Count lines up to a byte offset; only ever called to word an error."""
    lines, left = 1, offset
    with open_plain(path, follow_links=True) as stream:
        while left > 0 and (data := stream.read(min(left, 1 << 20))):
            lines += data.count(b"\n")
            left -= len(data)
    return lines
