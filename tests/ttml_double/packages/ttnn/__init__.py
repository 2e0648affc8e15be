"""A double of ttnn, for tests only. See ../../README.md."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import torch

from ._variant import VARIANT

if VARIANT.import_error == "std::bad_cast":
    raise RuntimeError("std::bad_cast")
if VARIANT.import_error:
    raise ImportError(VARIANT.import_error)


class _DataType(enum.Enum):
    BFLOAT16 = 0
    FLOAT32 = 1
    UINT32 = 2
    BFLOAT8_B = 3
    INT32 = 7

    def __str__(self) -> str:
        return f"DataType.{self.name}"


class _Layout(enum.Enum):
    ROW_MAJOR = 0
    TILE = 1

    def __str__(self) -> str:
        return f"Layout.{self.name}"


if VARIANT.enums_in_ttnn:
    DataType, Layout = _DataType, _Layout


def bf16(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.bfloat16).to(torch.float32)


class Tensor:
    """A value on the device: one torch tensor a chip, float32 that holds what its data type can hold."""

    def __init__(self, parts: Iterable[torch.Tensor], dtype: _DataType, layout: _Layout, sharded: bool = False) -> None:
        self.parts = list(parts)
        self._dtype = dtype
        self.layout = layout
        self.sharded = sharded

    @property
    def dtype(self) -> _DataType:
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.parts[0].shape)

    def get_layout(self) -> _Layout:
        return self.layout

    def item(self) -> float:
        if len(self.parts) > 1:
            raise RuntimeError("TT_FATAL: Can't get a single buffer from host storage distributed over mesh shape")
        return self.parts[0].item()


def clone(tensor: Tensor) -> Tensor:
    return Tensor([part.detach().clone() for part in tensor.parts], tensor.dtype, tensor.layout, tensor.sharded)


def get_arch_name() -> str:
    return "blackhole" if VARIANT.chips else "invalid"


def GetNumAvailableDevices() -> int:  # noqa: N802 - the real name
    if not VARIANT.chips:
        raise RuntimeError("TT_FATAL: No chips detected in the cluster")
    return VARIANT.chips


def get_num_devices() -> int:
    return VARIANT.chips
