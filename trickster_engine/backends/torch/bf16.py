"""Whether a processor multiplies matrices in bf16 itself, or only pretends to."""

from __future__ import annotations

import functools
import time

import torch

_SIZE = 256
#: At least so many products of a kind, the first of which wakes the threads, and at most so many if they take no longer
#: in all: another program that takes a core for a moment must not decide.
_FEWEST, _MOST, _ENOUGH_S = 4, 32, 0.01
#: A processor with instructions for it takes half as long as in fp32, one without them many times as long.
_SLOWDOWN = 3.0


@functools.cache
def bf16_slowdown() -> float:
    """How many times as long as in fp32 a product of two bf16 matrices takes on this CPU; the best of a few, once.

    Many laptops have no such instructions. There torch computes in bf16 all the same, number by number.
    """
    return _seconds(torch.bfloat16) / _seconds(torch.float32)


def cpu_emulates_bf16() -> bool:
    """Whether bf16 is so slow on this CPU that nothing is gained by trying it on a model."""
    return bf16_slowdown() > _SLOWDOWN


def _seconds(dtype: torch.dtype) -> float:
    a, b = (torch.ones(_SIZE, _SIZE, dtype=dtype) for _ in range(2))
    laps: list[float] = []
    while len(laps) < _FEWEST or (len(laps) < _MOST and sum(laps) < _ENOUGH_S):
        start = time.perf_counter()
        torch.mm(a, b)
        laps.append(time.perf_counter() - start)
    return min(laps)
