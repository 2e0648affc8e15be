"""Fields of a record: found by name, and the words for one that is not there. Standard library only.

The fields of a file are read from its first record, for whoever has not named one yet.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trickster_engine.config.suggestions import nearest
from trickster_engine.config.yaml.scalars import as_yaml, shown
from trickster_engine.errors import TricksterError
from trickster_engine.system.unpacking import open_unpacked

if TYPE_CHECKING:
    from trickster_engine.config.corpus_files import CorpusFile

TEXT_FIELD = "data_config.text_field"
_PEEKED_BYTES = 1 << 20
_SHOWN = 8  # fields
_USUAL = ("text", "content", "body")
_DELIMITERS = ",;\t"
_QUOTED = re.compile(r'"[^"]*"')
_DEEPEST = 4  # fields inside fields

MISSING: Any = object()


def field_of(record: Mapping[str, Any], field: str) -> Any:
    """A record's field, or one inside another: `message.text`. None inside of null, MISSING where there is none."""
    if field in record:
        return record[field]
    value: Any = record
    for name in field.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def text_fields(record: Mapping[str, Any], prefix: str = "") -> dict[str, int]:
    """The fields of a record that are text, those inside others with a dot, each with its length."""
    found: dict[str, int] = {}
    for name, value in record.items():
        if isinstance(value, str) or value is None:  # null here may be text elsewhere
            found[prefix + name] = len(value or "")
        elif isinstance(value, Mapping) and prefix.count(".") < _DEEPEST:
            found.update(text_fields(value, f"{prefix}{name}."))
    return found


def delimiter_of(header: str, file: CorpusFile) -> str:
    """What separates the columns of a CSV: the commonest of comma, semicolon and tab in its first line, not in quotes.

    In a .tsv file it is the tab, whatever the columns are called.
    """
    bare = _QUOTED.sub("", header)
    return "\t" if file.format.suffix == ".tsv" else max(_DELIMITERS, key=bare.count)


def advice_on(fields: Sequence[str], wanted: str | None = None) -> tuple[str, str]:
    """What to say of the fields that are there, and what to write: `("It has: body, title.", "Write …")`."""
    if not fields:
        return "It has no field that is text.", "Name another file"
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    has = f"It has: {', '.join(shown(name) for name in fields[:_SHOWN])}{more}."
    return has, f"Write data_config.text_field: {as_yaml(best_field(fields, wanted))}"


def best_field(fields: Sequence[str], wanted: str | None = None) -> str:
    """Which of some fields was probably meant: one that is spelt like it, else a usual name, else the first."""
    near = nearest(wanted, fields) if wanted else None
    return near or next((name for name in _USUAL if name in fields), fields[0])


def fields_in(file: CorpusFile) -> list[str] | None:
    """The text fields of a file's first record, the longest first; None where that is not quickly told.

    For Parquet the answer is None: reading it takes a package.
    """
    record = _first_record(file)
    return longest_first(text_fields(record)) or None if record is not None else None


def longest_first(fields: Mapping[str, int]) -> list[str]:
    """Fields by their length."""
    return sorted(fields, key=lambda name: -fields[name])


def field_error(file: CorpusFile, name: str) -> TricksterError | None:
    """What is wrong with a field of a file's first record; None for nothing, and where that is not quickly told."""
    record = _first_record(file)
    if record is None:
        return None
    value = field_of(record, name)
    if value is MISSING:
        return field_not_there(file.shown, name, longest_first(text_fields(record)))
    return None if value is None or isinstance(value, str) else field_not_text(file.shown, name, value)


def _first_record(file: CorpusFile) -> Mapping[str, Any] | None:
    """A record of JSON, or the names of a CSV's columns, each with nothing."""
    try:
        with open_unpacked(file.path, file.member) as stream:
            line = stream.readline(_PEEKED_BYTES).decode("utf-8-sig")
        if file.format.records == "csv":
            return dict.fromkeys(next(csv.reader([line], delimiter=delimiter_of(line, file)), ())) or None
        if file.format.records == "jsonl":
            record = json.loads(line)
            return record if isinstance(record, dict) else None
    except (TricksterError, OSError, ValueError, RecursionError, csv.Error):
        pass
    return None


def field_not_named(file: CorpusFile, fields: Sequence[str] | None) -> TricksterError:
    """The error for records of which no field is named to be the text."""
    has, write = advice_on(fields) if fields else ("", "Write data_config.text_field and its name")
    what = f"{file.shown} holds records, and data_config.text_field does not say which field of each is the text."
    return TricksterError(
        "text-field-missing",
        f"{what} {has}".rstrip(),
        f"{write}, or, to train on the file as it is, braces and all, give it a name that ends in .txt.",
    )


def field_not_there(place: str, name: str, fields: Sequence[str]) -> TricksterError:
    """The error for a record that lacks the field that is the text."""
    has, write = advice_on(fields, name)
    return TricksterError(
        "record-without-field", f"{place}: there is no field {shown(name)}. {has}", f"{write}, or correct the record."
    )


def field_not_text(place: str, name: str, value: object) -> TricksterError:
    """The error for a record whose field is something else than text."""
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    inside = longest_first(text_fields(value)) if isinstance(value, dict) else []
    return TricksterError(
        "record-not-text",
        f"{place}: the field {shown(name)} is {kinds.get(type(value), 'no text')}, not a string.",
        f"Name a field that is text: data_config.text_field{f': {name}.{inside[0]}' if inside else ''}. Or correct the "
        "record.",
    )
