"""Tokens in many files, read as if they were one array, through memory maps that are not allowed to pile up."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.system.files import open_plain

# Every page of a map that was ever read counts as this process' memory until it is given back. A place read at random
# brings in its neighbours as well, up to this much.
_READ_AROUND = 1 << 16
_KEPT_BYTES = 64 << 20


class ShardedTokens:
    """Token ids [tokens] in files that follow one another. Ranges of it are read; the whole never is."""

    def __init__(self, paths: Sequence[Path], dtype: np.dtype[Any]) -> None:
        """Map the files. Raises OSError, and ValueError for a file that is empty."""
        self.dtype = dtype
        self._maps: list[mmap.mmap] = []
        self._arrays: list[npt.NDArray[Any]] = []
        for path in paths:
            with open_plain(path) as stream:
                self._maps.append(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            self._arrays.append(np.frombuffer(self._maps[-1], dtype=dtype))
        self._ends = np.cumsum([len(array) for array in self._arrays])
        self._touched = 0

    def __len__(self) -> int:
        """Return the number of tokens."""
        return int(self._ends[-1])

    def __repr__(self) -> str:
        """Return the size in words."""
        return f"ShardedTokens({len(self):,} tokens of {self.dtype} in {len(self._arrays)} files)"

    @property
    def lengths(self) -> list[int]:
        """Tokens in each file."""
        return [len(array) for array in self._arrays]

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return len(self) * self.dtype.itemsize

    def __getitem__(self, span: slice) -> npt.NDArray[Any]:
        """Return a range of tokens as an array of its own, which nothing can write back."""
        begin, end, step = span.indices(len(self))
        if step != 1:
            raise ValueError("only whole ranges of tokens can be read")
        self._give_back((end - begin) * self.dtype.itemsize)
        pieces = []
        number = int(np.searchsorted(self._ends, begin, side="right"))
        while begin < end:
            array = self._arrays[number]
            offset = int(self._ends[number]) - len(array)
            pieces.append(array[begin - offset : end - offset])
            begin = int(self._ends[number])
            number += 1
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)

    def _give_back(self, wanted: int) -> None:
        """Let go of the pages read so far once they are many; the system still holds them for the next reader."""
        self._touched += wanted + _READ_AROUND
        if sys.platform != "win32" and self._touched > _KEPT_BYTES:
            for opened in self._maps:
                opened.madvise(mmap.MADV_DONTNEED)
            self._touched = 0
