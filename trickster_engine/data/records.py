"""The texts of records, one field each: lines of JSON, rows of CSV; those of Parquet and Arrow are in `parquet.py`.

One record is in memory at a time. What cannot be read is refused with its file and line; a record whose text is null,
empty or nothing but white space is no text, and is counted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from trickster_engine.config.corpus_files import CorpusFile, LeftOut, unreadable
from trickster_engine.config.record_fields import (
    MISSING,
    delimiter_of,
    field_not_named,
    field_not_text,
    field_not_there,
    field_of,
    fields_in,
    longest_first,
    text_fields,
)
from trickster_engine.data.corpus_errors import binary_record, not_utf8_line
from trickster_engine.data.parquet import column_rows
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command
from trickster_engine.system.unpacking import open_unpacked

#: One record, with all its fields, takes no more than this: it has to fit into memory, several times.
LONGEST_RECORD = 64 << 20
EMPTY = "record without text"


@dataclass
class Progress:
    """What becomes known while packed text is read."""

    left_out: LeftOut = field(default_factory=LeftOut)
    advance: Callable[[int], None] | None = None  # told of bytes of files as they are read


def read_records(file: CorpusFile, name: str | None, progress: Progress, skip: int = 0) -> Iterator[tuple[str, int]]:
    """Yield the text of each record, and how many lines or rows were read to its end; `skip` of them are passed over.

    `name` is the field, `a.b` for one inside another. Raises TricksterError: text-field-missing, record-broken,
    record-without-field, record-not-text, record-too-long, corpus-not-utf8, corpus-binary, corpus-unreadable, and what
    `open_unpacked` says.
    """
    if name is None:
        raise field_not_named(file, fields_in(file))
    kind = file.format.records
    try:
        seeks = kind in ("parquet", "arrow") and not file.member and not file.format.compression
        with open_unpacked(file.path, file.member, advance=None if seeks else progress.advance) as stream:
            if kind in ("parquet", "arrow"):
                rows: Iterator[tuple[Any, str, int]] = column_rows(stream, file, name, skip)
            elif kind == "csv":
                rows = _csv_rows(stream, file, name, skip)
            else:
                rows = _json_lines(stream, file, name, skip)
            for value, place, number in rows:
                if value is None or (isinstance(value, str) and not value.strip()):
                    progress.left_out.add(EMPTY, place)
                    continue
                yield _text(value, name, place), number
        if seeks and progress.advance is not None:
            progress.advance(file.size)
    except OSError as error:
        raise unreadable(file.path, error) from error


def _text(value: Any, name: str, place: str) -> str:
    if not isinstance(value, str):
        raise field_not_text(place, name, value)
    if "\0" in value:
        raise binary_record(place)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise TricksterError(
                "record-not-text",
                f"{place}: the text has {value[error.start]!a}, half of a character (a lone surrogate).",
                "Write the character whole, or remove the escape sequence.",
            ) from None
    return value


def _json_lines(stream: BinaryIO, file: CorpusFile, name: str, skip: int) -> Iterator[tuple[Any, str, int]]:
    for number, line in _lines(stream, file):
        if number <= skip or not line.strip():
            continue
        place = f"{file.shown}, line {number:,}"
        record = _parsed(_decoded(line, file, number), place, file)
        value = field_of(record, name)
        if value is MISSING:
            raise field_not_there(place, name, longest_first(text_fields(record)))
        yield value, place, number


def _parsed(line: str, place: str, file: CorpusFile) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).replace("line 1 ", "")
        advice = "Correct the line or remove it: each line of a .jsonl file is one object of JSON."
        if line.lstrip().startswith("["):
            advice = _array_advice(file)
        raise TricksterError("record-broken", f"{place} is not JSON: {why}.", advice) from None
    if not isinstance(record, dict):
        what = "a list" if isinstance(record, list) else "no object"
        raise TricksterError(
            "record-broken",
            f"{place} is {what}; a record is an object with named fields.",
            _array_advice(file) if isinstance(record, list) else 'Write each record as {"text": "…"}.',
        )
    return record


def _array_advice(file: CorpusFile) -> str:
    name = in_command((file.member or file.path.name).rpartition("/")[2])
    return f"A whole file that is one JSON array becomes lines so: jq -c '.[]' {name} > records.jsonl"


def _csv_rows(stream: BinaryIO, file: CorpusFile, name: str, skip: int) -> Iterator[tuple[Any, str, int]]:
    csv.field_size_limit(LONGEST_RECORD)
    lines = (_decoded(line, file, number) for number, line in _lines(stream, file))
    header_line = next((line for line in lines if line.strip()), "")

    def all_lines() -> Iterator[str]:
        yield header_line
        yield from lines

    reader = csv.reader(all_lines(), delimiter=delimiter_of(header_line, file), strict=True)
    header: list[str] | None = None
    begins = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise TricksterError(
                "record-broken",
                f"{file.shown}, the row that begins at line {begins:,}, is not CSV: {error}.",
                'Text with commas, line ends or quotes stands in quotes, and a quote within is written twice: "".',
            ) from None
        if row is None:
            return
        place, begins = f"{file.shown}, line {begins:,}", reader.line_num + 1
        if header is None:
            header = row
            if name not in header:
                raise field_not_there(place, name, header)
            column = header.index(name)
        elif row and reader.line_num > skip:
            if len(row) != len(header):
                raise TricksterError(
                    "record-broken",
                    f"{place} has {len(row)} columns, and the header has {len(header)}.",
                    'Put text that has commas or line ends into quotes: "…".',
                )
            yield row[column], place, reader.line_num


def _lines(stream: BinaryIO, file: CorpusFile) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := stream.readline(LONGEST_RECORD + 1):
        number += 1
        if len(line) > LONGEST_RECORD:
            raise TricksterError(
                "record-too-long",
                f"{file.shown}, line {number:,} has more than {LONGEST_RECORD >> 20} MiB: it does not look like one "
                "record.",
                "Write one record a line, or give a file of plain text a name that ends in .txt.",
            )
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _decoded(line: bytes, file: CorpusFile, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8_line(file, number, line, error) from None
