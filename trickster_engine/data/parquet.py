"""Rows of Parquet and Arrow files, by the optional package pyarrow: one column is read, a few rows at a time."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from trickster_engine.config.corpus_files import CorpusFile
from trickster_engine.config.record_fields import advice_on
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.errors import TricksterError
from trickster_engine.system.unpacking import damaged, needs_package

_ROWS = 16  # at a time: a text may have megabytes
_BUFFER_BYTES = 1 << 20
#: What an Arrow file with a table of its batches begins with; one that is a stream does not.
_ARROW_FILE = b"ARROW1"
_CHECKS = {"parquet": "pyarrow.parquet.read_metadata", "arrow": "pyarrow.ipc.open_stream"}
_NULL = "null"  # the type of a column without any value


def column_rows(stream: BinaryIO, file: CorpusFile, name: str, skip: int) -> Iterator[tuple[Any, str, int]]:
    """Yield each row's value in a column, where it stands, and how many rows were read; `skip` are passed over.

    Raises TricksterError: format-needs-package, archive-damaged, record-without-field, record-not-text.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        kind = "an Arrow" if file.format.records == "arrow" else "a Parquet"
        raise needs_package(f"{file.shown} is {kind} file: it", "pyarrow") from None
    if not stream.seekable():  # both may be read from their end
        unpacked: Any = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        shutil.copyfileobj(stream, unpacked, 1 << 20)
    else:
        unpacked = stream
    try:
        rows = _arrow_rows if file.format.records == "arrow" else _parquet_rows
        yield from rows(arrow, parquet, unpacked, file, name, skip)
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise damaged(file.shown, str(error).splitlines()[0], _CHECKS[str(file.format.records)]) from error
    finally:
        if unpacked is not stream:
            unpacked.close()


def _arrow_rows(
    arrow: Any, _: Any, stream: Any, file: CorpusFile, name: str, skip: int
) -> Iterator[tuple[Any, str, int]]:
    """Of a stream of batches, as `datasets` writes them, or of a file with a table of its batches."""
    is_file = stream.read(len(_ARROW_FILE)) == _ARROW_FILE
    stream.seek(0)
    reader = arrow.ipc.open_file(stream) if is_file else arrow.ipc.open_stream(stream)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    is_text = _is_text_column(arrow, reader.schema, file, name)
    first, *inner = [name] if name in reader.schema.names else name.split(".")
    number = 0
    for batch in batches:
        if number + batch.num_rows <= skip or not is_text:
            values: Iterator[Any] = iter([None] * batch.num_rows)
        else:
            column = batch.column(batch.schema.get_field_index(first))
            values = (one for at in range(0, len(column), _ROWS) for one in _values(column[at : at + _ROWS], file))
        for value in values:
            number += 1
            if number > skip:
                yield _inside(value, inner), f"{file.shown}, row {number:,}", number


def _parquet_rows(
    arrow: Any, parquet: Any, stream: Any, file: CorpusFile, name: str, skip: int
) -> Iterator[tuple[Any, str, int]]:
    table = parquet.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    schema = table.schema_arrow
    if not _is_text_column(arrow, schema, file, name):
        for number in range(skip, table.metadata.num_rows):
            yield None, f"{file.shown}, row {number + 1:,}", number + 1
        return
    first, *inner = [name] if name in schema.names else name.split(".")
    number = 0
    groups: list[int] = []
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if not groups and number + rows <= skip:
            number += rows
        else:
            groups.append(group)
    for batch in table.iter_batches(batch_size=_ROWS, row_groups=groups, columns=[name], use_threads=False):
        for value in _values(batch.column(batch.schema.get_field_index(first)), file):
            number += 1
            if number > skip:
                yield _inside(value, inner), f"{file.shown}, row {number:,}", number


def _inside(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_text_column(arrow: Any, schema: Any, file: CorpusFile, name: str) -> bool:
    """Whether a column is text; not where it has no value at all. Raises TricksterError where it is something else."""
    columns = _text_columns(arrow, schema)
    if name in columns:
        return True
    kind = _type_of(arrow, schema, name)
    if kind == _NULL:
        return False
    has, write = advice_on(columns, name)
    what = f"its column {shown(name)} is {kind}, not text" if kind else f"there is no column {shown(name)}"
    raise TricksterError(
        "record-not-text" if kind else "record-without-field", f"{file.shown}: {what}. {has}", f"{write}."
    )


def _values(column: Any, file: CorpusFile) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError as error:
        raise TricksterError(
            "corpus-not-utf8",
            f"{file.shown} has text that is not UTF-8: byte 0x{error.object[error.start]:02x}.",
            "Write the file again with text that is.",
        ) from None
    return values


def _type_of(arrow: Any, schema: Any, name: str) -> str:
    """The type of a column, or of a field in one or in nothing, in arrow's words; empty where there is none."""
    if name in schema.names:
        return str(schema.field(name).type)
    fields, found = {field.name: field.type for field in schema}, ""
    for part in name.split("."):
        if part not in fields:
            return ""
        found = str(fields[part])
        if found == _NULL:
            break
        inner = arrow.types.is_struct(fields[part])
        fields = {field.name: field.type for field in fields[part]} if inner else {}
    return found


def _text_columns(arrow: Any, fields: Any, prefix: str = "") -> list[str]:
    """The columns of text, those of structs with a dot."""
    found: list[str] = []
    types = arrow.types
    for field in fields:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        is_view = getattr(types, "is_string_view", lambda _: False)
        if types.is_string(kind) or types.is_large_string(kind) or is_view(kind):
            found.append(prefix + field.name)
        elif types.is_struct(kind) and not prefix:
            found += _text_columns(arrow, [kind.field(at) for at in range(kind.num_fields)], f"{field.name}.")
    return found
