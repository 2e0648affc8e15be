"""Reading one safetensors file, by rules that are all checked before the first number is read.

The format: 8 bytes for the length of a JSON header, the header, the numbers. Every array says its type, its shape and
where its bytes begin and end. Nothing is believed: the bytes of every array must be as many as its shape asks for, and
all arrays together must fill the file, without a gap and without sharing a byte.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.system.files import open_plain

_LARGEST_HEADER = 32 << 20
_MOST_DIMENSIONS = 16
_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
    "BF16": "<u2",  # numpy has none: these are the upper halves of float32
}  # fmt: skip


@dataclass(frozen=True)
class StoredArray:
    """Where an array lies in a file, and what it is."""

    path: Path
    type: str
    shape: tuple[int, ...]
    start: int  # from the beginning of the file

    @property
    def nbytes(self) -> int:
        """Its size on disk."""
        return math.prod(self.shape) * np.dtype(_TYPES[self.type]).itemsize

    def read(self) -> NDArray[Any]:
        """Its numbers, in the type they are stored in; bfloat16 as float32. Raises OSError, ValueError."""
        with open_plain(self.path) as file:
            file.seek(self.start)
            numbers = np.fromfile(file, np.dtype(_TYPES[self.type]), math.prod(self.shape))
        if numbers.size != math.prod(self.shape):
            raise ValueError(f"{self.path.name} has been cut short")
        if self.type == "BF16":
            numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
        return numbers.reshape(self.shape)


def read_header(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by name. Raises OSError, ValueError."""
    with open_plain(path) as file:
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
    arrays: dict[str, StoredArray] = {}
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


def _array(path: Path, name: str, entry: Mapping[str, Any], begin: int) -> tuple[StoredArray, int, int]:
    try:
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} does not say where {name!r} is") from error
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"{name!r} in {path.name} has an unknown number type, {kind!r:.40}")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(map(_is_count, [*shape, first, last])):
        raise ValueError(f"the shape or position of {name!r} in {path.name} is not an integer")
    array = StoredArray(path, kind, tuple(shape), begin + first)
    if last - first != array.nbytes:
        raise ValueError(f"{name!r} in {path.name} has {last - first:,} bytes, and its shape needs {array.nbytes:,}")
    return array, first, last


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 62
