"""What the name of a file says about how its text is read: prose and code as they are, records by their text field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from trickster_engine.system.unpacking import compression_of

#: Endings of files of records, of which one field each is text.
RECORDS: dict[str, Literal["jsonl", "csv", "parquet"]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
ARCHIVE = ".zip"
_FOREIGN = (".tar", ".tgz", ".7z", ".rar")


@dataclass(frozen=True)
class FileFormat:
    """How a file is read, by its name: `.jsonl.zst` holds records in lines of JSON, compressed."""

    suffix: str  # of what it holds, without that of the compression
    compression: str  # ".gz", or empty

    @property
    def records(self) -> Literal["jsonl", "csv", "parquet"] | None:
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
