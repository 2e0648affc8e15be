"""Copies of matrices in one piece of memory, for what is read from the first to the last again and again."""

from __future__ import annotations

import contextlib
import mmap
import sys
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_LARGE_PAGE = 2 << 20
_ALIGNED = 64


def one_piece(shapes: Iterable[Tensor], dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A function that copies matrices, in total of the size of these, one behind the other, in a number format.

    On Linux the memory is made of large pages where there are some: a processor finds its way in few of them, and loads
    ahead across many small ones more slowly.
    """
    size = sum(_aligned(matrix.numel() * dtype.itemsize) for matrix in shapes)
    room = _memory(size)
    used = 0

    def copy(matrix: Tensor) -> Tensor:
        nonlocal used
        taken = matrix.numel() * dtype.itemsize
        copied = room[used : used + taken].view(dtype).view(matrix.shape)
        used += _aligned(taken)
        return copied.copy_(matrix.detach())

    return copy


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _memory(size: int) -> Tensor:
    """Bytes [size]."""
    if not sys.platform.startswith("linux") or not hasattr(mmap, "MADV_HUGEPAGE") or size < _LARGE_PAGE:
        return torch.empty(size, dtype=torch.uint8)
    whole = -(-size // _LARGE_PAGE) * _LARGE_PAGE
    pages = mmap.mmap(-1, whole + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        pages.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(pages, dtype=torch.uint8)
    begin = -memory.data_ptr() % _LARGE_PAGE
    return memory[begin : begin + size]
