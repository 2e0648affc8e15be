"""Find a corpus and read it as a stream of text. Standard library only, so that a language server can ask as well.

A corpus is `shakespeare` (Tiny Shakespeare), `python` (the standard library's own source), a UTF-8 text file, or a
folder of such files. Whatever it is, it is read in chunks: nothing here ever holds a whole corpus in memory.
"""

from __future__ import annotations

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
from trickster_engine.config.keys.data import DataConfig
from trickster_engine.config.own_output import NOTHING, OwnOutput
from trickster_engine.config.patterns import BY_ENDING, Selection
from trickster_engine.config.settings import STREAM
from trickster_engine.data.cache import cache_directory
from trickster_engine.data.documents import MARK, MARKED, mark_documents
from trickster_engine.data.read_text import read_file_chunks, read_text_chunks, with_lf
from trickster_engine.data.records import Progress, read_records
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import open_plain, path_meant

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


@dataclass(frozen=True)
class Reading:
    """How files become text."""

    lf: bool = False  # every line end is read as one LF
    documents: str = STREAM  # what a document is, as `data_config.documents` names it
    separator: str = ""  # between documents that are `separated`
    text_field: str | None = None  # of records: which of their fields is the text

    @property
    def is_stream(self) -> bool:
        """Whether there are no documents."""
        return self.documents == STREAM

    @property
    def is_marked(self) -> bool:
        """Whether documents have their marks already, as in text that was extracted from other files."""
        return self.documents == MARKED

    def text(self, chunks: Iterable[str]) -> Iterator[str]:
        """Yield a file's text, or part of it that holds whole documents, with MARK behind each document."""
        return mark_documents(with_lf(chunks) if self.lf else chunks, self.documents, self.separator)


@dataclass(frozen=True)
class Place:
    """Where reading can go on: behind some lines or rows of records of a file, or before a file."""

    file: int = 0
    records: int = 0
    begun: bool = False  # whether there was text before


BEGINNING = Place()


@dataclass(frozen=True)
class Corpus(TextFiles):
    """A resolved corpus: which files, in which order. Reading it is `text_chunks`."""

    reading: Reading = Reading()
    weight: int = 1  # how many times the training part is in the text that is trained on

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

        Files and records are joined by one newline where they are a stream; of documents, each is ended by MARK, and a
        file's end ends one (see `documents.py`); each record is a document. Line ends are kept, unless `lf` is set. A
        UTF-8 byte-order mark at the start of a file is not text and is dropped.

        Raises TricksterError `corpus-binary` or `corpus-not-utf8` with the file and the place, and what `read_records`
        and `open_unpacked` say.
        """
        for text, _ in self.pieces(Progress(), chunk_bytes=chunk_bytes):
            yield text

    def pieces(
        self, progress: Progress, start: Place = BEGINNING, chunk_bytes: int = 1 << 20
    ) -> Iterator[tuple[str, Place | None]]:
        """Yield the text from a place on, and behind a piece the place where reading can go on, if it can there."""
        begun = start.begun
        for number in range(start.file, len(self.files)):
            file = self.files[number]
            if file.size == 0 and len(self.files) > 1:
                continue
            if file.format.records is not None:
                skip = start.records if number == start.file else 0
                for text, read in self._record_texts(file, progress, skip, begun, chunk_bytes):
                    begun = True
                    yield text, Place(number, read, begun)
                continue
            chunks = self._file_chunks(file, progress, chunk_bytes)
            if chunks is None:
                continue
            if begun and self.reading.is_stream:
                yield "\n", None
            begun = True
            for chunk in self.reading.text(chunks):
                yield chunk, None
            yield "", Place(number + 1, 0, begun)

    def _file_chunks(self, file: CorpusFile, progress: Progress, chunk_bytes: int) -> Iterator[str] | None:
        if self.kind == "python":  # a few files of the library are in other encodings on purpose: left out
            whole = _text_or_none(file)
            return iter((whole,)) if whole else None
        return read_file_chunks(file, chunk_bytes, progress.advance, marks=self.reading.is_marked)

    def _record_texts(
        self, file: CorpusFile, progress: Progress, skip: int, begun: bool, chunk_bytes: int
    ) -> Iterator[tuple[str, int]]:
        """Yield the texts of records, many at once, with how many lines or rows were read to there."""
        held, length, read = [], 0, skip
        stream, lf = self.reading.is_stream, self.reading.lf
        for written, number in read_records(file, self.reading.text_field, progress, skip):
            text = "".join(with_lf([written])) if lf else written
            held.append((f"\n{text}" if begun else text) if stream else text + MARK)
            begun, read, length = True, number, length + len(text) + 1
            if length >= chunk_bytes:
                yield "".join(held), read
                held, length = [], 0
        if held:
            yield "".join(held), read


def resolve_corpus(
    name: str,
    folder: Path,
    *,
    own: OwnOutput = NOTHING,
    most: int | None = None,
    selection: Selection = BY_ENDING,
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
    return text_files(name, folder, most, own=own, selection=selection)


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


def describe_corpus(
    name: str, folder: Path, own: OwnOutput = NOTHING, selection: Selection = BY_ENDING
) -> CorpusDescription:
    """Describe a corpus from file sizes alone: no reading, no network, never raises; see `problem`.

    Of a folder with a great many files, and of packed text, nothing is said but that it is there: `bytes` is 0.
    """
    if name == "shakespeare":
        return CorpusDescription(name, "shakespeare", None, 1, SHAKESPEARE_BYTES, SHAKESPEARE_BYTES)
    try:
        corpus = (
            _python()
            if name == "python"
            else text_files(name, folder, MOST_FILES_DESCRIBED, own=own, selection=selection)
        )
    except TricksterError as error:
        if error.code == "corpus-too-many-files":
            return CorpusDescription(name, "folder", path_meant(folder, name), 0, 0, None)
        return CorpusDescription(name, "python" if name == "python" else "file", None, 0, 0, None, error)
    taken = sum(file.size > 0 for file in corpus.files)
    size = 0 if corpus.is_packed else corpus.size
    return CorpusDescription(name, corpus.kind, corpus.path, taken, size, None, None, corpus.left_out)


def describe_text(data: DataConfig, folder: Path, own: OwnOutput = NOTHING) -> CorpusDescription:
    """Describe a config's corpus in the same way; of several sources together, as far as none counts more than once."""
    found = [describe_corpus(source.path, folder, own, data.selection) for source in data.sources]
    if len(found) == 1 and data.sources[0].weight == 1:
        return found[0]
    known = all(one.bytes for one in found) and all(source.weight == 1 for source in data.sources)
    return CorpusDescription(
        data.corpus_name,
        "folder",
        None,
        sum(one.files for one in found),
        sum(one.bytes for one in found) if known else 0,
        None,
        next((one.problem for one in found if one.problem), None),
        LeftOut().joined(one.left_out for one in found),
    )


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


def text_files(
    name: str, folder: Path, most: int | None = None, *, own: OwnOutput = NOTHING, selection: Selection = BY_ENDING
) -> Corpus:
    """Find the file or folder of text called `name`, relative to `folder`; see `find_text_files`."""
    return Corpus(**vars(find_text_files(name, folder, most, own=own, selection=selection)))


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
