"""Named arrays in safetensors files: in one, or above a size in several with an index, as Hugging Face lays them out.

    model.safetensors
    model-00001-of-00002.safetensors  model-00002-of-00002.safetensors  model.safetensors.index.json

Both writing and reading hold one file's arrays at a time: a model need not fit into memory twice.
"""

from __future__ import annotations

import json
import os
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from trickster_engine.model.safetensors_file import read_header
from trickster_engine.system.files import MAX_ARRAYS_FILE_BYTES, read_json

Array = NDArray[Any]
#: What reading stored arrays may raise besides OSError, where they are not what they should be.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)


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

    def __init__(self, folder: Path, stem: str) -> None:
        index = folder / index_name(stem)
        if os.path.lexists(index):
            weight_map = read_json(index)["weight_map"]
            headers = {file: read_header(folder / _plain_name(file)) for file in sorted(set(weight_map.values()))}
            if {name: file for file, header in headers.items() for name in header} != weight_map:
                raise ValueError(f"{index.name} does not list the arrays in its files")
            self._arrays = {name: headers[file][name] for name, file in weight_map.items()}
        else:
            self._arrays = read_header(folder / f"{stem}.safetensors")
        self.shapes = {name: array.shape for name, array in self._arrays.items()}

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def _plain_name(name: object) -> str:
    """A file's name in an index, which must lead to no other folder."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII):
        raise ValueError(f"{name!r:.80} is not the name of a file in it")
    return name


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
    try:
        save_file(arrays, path, metadata=metadata)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        # A full disk, most of all: safetensors says so in words, and whoever mends it asks for the number.
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path), code if os.name == "nt" else None) from error


def index_name(stem: str) -> str:
    """The file that says which array is where."""
    return f"{stem}.safetensors.index.json"


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
