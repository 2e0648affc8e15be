"""What the name of a file says: whether it is text, and how that is read, as it is or by the field of records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import Literal

from trickster_engine.config.patterns import Selection
from trickster_engine.system.unpacking import compression_of

# What counts as text inside a folder: prose and source code. A single file may have any name.
_PROSE = ".txt .text .md .markdown .rst .org .adoc .tex .srt .html .htm .xml"
_DATA = ".csv .tsv .json .jsonl .ndjson .yaml .yml .toml .ini .sql .proto"
_CODE = (
    ".py .pyi .js .jsx .ts .tsx .c .h .cc .cpp .cxx .hpp .hh .cs .java .kt .scala .swift .go .rs .rb .php .pl .lua .r"
    " .jl .hs .ml .ex .exs .erl .clj .lisp .scm .el .vim .sh .bash .zsh .ps1 .bat .css .scss .cmake .zig .nim"
)
TEXT_SUFFIXES = frozenset(f"{_PROSE} {_DATA} {_CODE}".split())
_MEDIA = ".png .jpg .jpeg .gif .webp .bmp .ico .mp3 .mp4 .wav .ogg .flac .avi .mov .mkv .ttf .otf .woff .woff2"
_DOCUMENTS = ".pdf .doc .docx .odt .xls .xlsx .ods .ppt .pptx .epub .mobi .zip .gz .bz2 .xz .zst .7z .rar .tar .tgz"
_PROGRAMS = ".exe .dll .so .dylib .o .a .pyc .class .jar .wasm .bin"
_ARRAYS = ".pt .pth .safetensors .npy .npz .parquet .sqlite .db"
_BINARY_SUFFIXES = frozenset(f"{_MEDIA} {_DOCUMENTS} {_PROGRAMS} {_ARRAYS}".split())
RecordKind = Literal["jsonl", "csv", "parquet", "arrow"]
#: Endings of files of records, of which one field each is text.
RECORDS: dict[str, RecordKind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
ARCHIVE = ".zip"
_FOREIGN = (".tar", ".tgz", ".7z", ".rar")


@dataclass(frozen=True)
class FileFormat:
    """How a file is read, by its name: `.jsonl.zst` holds records in lines of JSON, compressed."""

    suffix: str  # of what it holds, without that of the compression
    compression: str  # ".gz", or empty

    @property
    def records(self) -> RecordKind | None:
        """The kind of records that it holds; None for text as it is."""
        return RECORDS.get(self.suffix)

    @property
    def is_archive(self) -> bool:
        """Whether it is a zip archive, whose members are files themselves."""
        return self.suffix == ARCHIVE and not self.compression

    @property
    def is_foreign(self) -> bool:
        """Whether it is an archive of a kind that is not read."""
        return self.suffix in _FOREIGN


def format_of(name: str) -> FileFormat:
    """What a name says, in capitals or not."""
    compression = compression_of(name)
    suffix = PurePosixPath(name[: len(name) - len(compression)]).suffix.lower()
    return FileFormat(suffix, compression)


def not_text(path: PurePath, selection: Selection) -> str | None:
    """Why a file of a folder is left out, by its path below the folder; None where it is not."""
    written, format = path.as_posix(), format_of(path.name)
    if selection.excludes(written):
        return "excluded"
    included = selection.includes(written)
    if included is False:
        return "not included"
    if format.records is not None and not selection.records:
        return "records, and data_config.text_field names no field"
    if included or format.records is not None or format.suffix in TEXT_SUFFIXES:
        return None
    if format.is_archive:
        return "archive that data_config.include does not name"
    binary = format.compression or format.suffix in _BINARY_SUFFIXES
    return "binary" if binary else "no text file extension"
