"""Named arrays in safetensors files: in one, or above a size in several with an index, as Hugging Face lays them out.

    model.safetensors
    model-00001-of-00002.safetensors  model-00002-of-00002.safetensors  model.safetensors.index.json

Both writing and reading hold one file's arrays at a time: a model need not fit into memory twice.
"""

from __future__ import annotations

import json
import math
import os
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from trickster_engine.system.files import MAX_ARRAYS_FILE_BYTES, open_plain
from trickster_engine.system.safetensors_header import ArrayPlace, index_name, read_places

Array = NDArray[Any]
#: What reading stored arrays may raise besides OSError, where they are not what they should be.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
_TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2", "U32": "<u4", "I32": "<i4",
    "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
    "BF16": "<u2",  # numpy has none: these are the upper halves of float32
}  # fmt: skip


class ArraysOnDemand(Mapping[str, Array]):
    """Arrays that are put together when they are asked for. Their sizes are known before."""

    @abstractmethod
    def nbytes(self, name: str) -> int:
        """How many bytes an array will have."""


class StoredArrays(Mapping[str, Array]):
    """The arrays of a folder's files that begin with a stem, read when they are asked for.

    Making one reads names and shapes, and holds them against the sizes of the files. Raises OSError or one of
    `UNREADABLE` where that fails.
    """

    def __init__(self, folder: Path, stem: str, *, follow_links: bool = False) -> None:
        self._follow_links = follow_links
        self.places = read_places(folder, stem, follow_links=follow_links)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each."""
        return {name: place.shape for name, place in self.places.items()}

    def leave_out(self, names: Iterable[str]) -> None:
        """Have no arrays of these names."""
        for name in names:
            del self.places[name]

    def __getitem__(self, name: str) -> Array:
        return read_array(self.places[name], follow_links=self._follow_links)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def read_array(place: ArrayPlace, *, follow_links: bool = False) -> Array:
    """The numbers of an array, in the type they are stored in; bfloat16 as float32. Raises OSError, ValueError."""
    with open_plain(place.path, follow_links=follow_links) as file:
        file.seek(place.start)
        numbers = np.fromfile(file, np.dtype(_TYPES[place.type]), math.prod(place.shape))
    if numbers.size != math.prod(place.shape):
        raise ValueError(f"{place.path.name} has been cut short")
    if place.type == "BF16":
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.reshape(place.shape)


def save_arrays(
    folder: Path,
    stem: str,
    arrays: Mapping[str, Array],
    metadata: dict[str, str] | None = None,
    max_file_bytes: int = MAX_ARRAYS_FILE_BYTES,
) -> None:
    """Write arrays into an existing folder, asking for each once, in order. Raises OSError."""
    files = _in_files(arrays, max_file_bytes)
    if len(files) == 1:
        _save(_contiguous(arrays, files[0]), folder / f"{stem}.safetensors", metadata)
        return
    weight_map: dict[str, str] = {}
    total = 0
    for number, names in enumerate(files, start=1):
        file = f"{stem}-{number:05d}-of-{len(files):05d}.safetensors"
        part = _contiguous(arrays, names)
        _save(part, folder / file, metadata)
        weight_map.update(dict.fromkeys(names, file))
        total += sum(array.nbytes for array in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / index_name(stem)).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _save(arrays: dict[str, Array], path: Path, metadata: dict[str, str] | None) -> None:
    with system_errors(path):
        save_file(arrays, path, metadata=metadata)


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Raise what the system refuses safetensors as the OSError that it is."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        # A full disk, most of all: safetensors says so in words, and whoever mends it asks for the number.
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path), code if os.name == "nt" else None) from error


def _in_files(arrays: Mapping[str, Array], max_file_bytes: int) -> list[list[str]]:
    files: list[list[str]] = [[]]
    room = max_file_bytes
    for name in arrays:
        size = arrays.nbytes(name) if isinstance(arrays, ArraysOnDemand) else arrays[name].nbytes
        if files[-1] and size > room:
            files.append([])
            room = max_file_bytes
        files[-1].append(name)
        room -= size
    return files


def _contiguous(arrays: Mapping[str, Array], names: list[str]) -> dict[str, Array]:
    """Arrays as safetensors needs them: laid out in a row. It would write a strided view's bytes in the wrong order."""
    return {name: np.ascontiguousarray(arrays[name]) for name in names}
