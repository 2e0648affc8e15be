"""Where the arrays of a safetensors file lie, by rules that are all checked before the first number is read.

The format: 8 bytes for the length of a JSON header, the header, the numbers. Every array says its type, its shape and
where its bytes begin and end. Nothing is believed: the bytes of every array must be as many as its shape asks for, and
all arrays together must fill the file, without a gap and without sharing a byte. Standard library only.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.system.files import open_plain, read_json

_LARGEST_HEADER = 32 << 20
_MOST_DIMENSIONS = 16
#: Bytes of one number.
_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8,
    "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array lies in a file, and what it is."""

    path: Path
    type: str
    shape: tuple[int, ...]
    start: int  # from the beginning of the file

    @property
    def nbytes(self) -> int:
        """Its size on disk."""
        return math.prod(self.shape) * _SIZES[self.type]


def index_name(stem: str) -> str:
    """The file that says which array is where."""
    return f"{stem}.safetensors.index.json"


def read_places(folder: Path, stem: str, *, follow_links: bool = False) -> dict[str, ArrayPlace]:
    """The arrays of a folder's files that begin with a stem: of one file, or of several with an index.

    Raises OSError; ValueError, KeyError, TypeError or AttributeError where they are not what they should be.
    """
    index = folder / index_name(stem)
    if not os.path.lexists(index):
        return read_header(folder / f"{stem}.safetensors", follow_links=follow_links)
    weight_map = read_json(index, follow_links=follow_links)["weight_map"]
    headers = {
        file: read_header(folder / _plain_name(file), follow_links=follow_links)
        for file in sorted(set(weight_map.values()))
    }
    if {name: file for file, header in headers.items() for name in header} != weight_map:
        raise ValueError(f"{index.name} does not list the arrays in its files")
    return {name: headers[file][name] for name, file in weight_map.items()}


def read_header(path: Path, *, follow_links: bool = False) -> dict[str, ArrayPlace]:
    """The arrays of a file by name. Raises OSError, ValueError."""
    with open_plain(path, follow_links=follow_links) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        begin = 8 + length
        if size < 8 or begin > size or length > _LARGEST_HEADER:
            raise ValueError(f"{path.name} has no header of safetensors")
        header = file.read(length)
    try:
        described = json.loads(header)
    except RecursionError as error:
        raise ValueError(f"the header of {path.name} is nested too deeply") from error
    if not isinstance(described, dict):
        raise ValueError(f"{path.name} has no header of safetensors")
    described.pop("__metadata__", None)
    arrays: dict[str, ArrayPlace] = {}
    ends: list[tuple[int, int]] = []
    for name, entry in described.items():
        array, first, last = _array(path, name, entry, begin)
        arrays[name] = array
        ends.append((first, last))
    reached = 0
    for first, last in sorted(ends):
        if first != reached:
            raise ValueError(f"the arrays of {path.name} leave gaps or overlap")
        reached = last
    if begin + reached != size:
        raise ValueError(
            f"{path.name} contains {size - begin:,} bytes of numbers, and its header describes {reached:,}"
        )
    return arrays


def _array(path: Path, name: str, entry: Mapping[str, Any], begin: int) -> tuple[ArrayPlace, int, int]:
    try:
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} does not say where {name!r} is") from error
    if not isinstance(kind, str) or kind not in _SIZES:
        raise ValueError(f"{name!r} in {path.name} has an unknown number type, {kind!r:.40}")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(map(_is_count, [*shape, first, last])):
        raise ValueError(f"the shape or position of {name!r} in {path.name} is not an integer")
    array = ArrayPlace(path, kind, tuple(shape), begin + first)
    if last - first != array.nbytes:
        raise ValueError(f"{name!r} in {path.name} has {last - first:,} bytes, and its shape needs {array.nbytes:,}")
    return array, first, last


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _plain_name(name: object) -> str:
    """A file's name in an index, which must lead to no other folder."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII):
        raise ValueError(f"{name!r:.80} is not the name of a file in it")
    return name
