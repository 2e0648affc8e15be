"""What torch is told on NVIDIA GPUs alone: kernels that repeat bit for bit, copies and readings that do not wait.

Importing this sets an environment variable: cuBLAS reads it when it starts, which any product on a GPU may do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trickster_engine.errors import TricksterError

#: With one of these cuBLAS always sums in the same order (docs.nvidia.com/cuda/cublas, "Results Reproducibility");
#: without, torch refuses matrix products under `use_deterministic_algorithms`.
_WORKSPACES = (":4096:8", ":16:8")
if os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in _WORKSPACES:
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = _WORKSPACES[0]

#: What is tried in pairs by tests/device/acceptance.sh: names of `CudaOptions`, separated by commas; `-` turns one off.
OPTIONS_VARIABLE = "TRICKSTER_CUDA_OPTIONS"


@dataclass(frozen=True)
class CudaOptions:
    """Ways to train on a GPU of which only a GPU can show which pays. Nothing here changes what a CPU does."""

    #: Only kernels that give the same bits every time. Without, a resumed run ends near the run that never stopped, but
    #: not exactly there: the backward pass of attention adds up its gradients in the order in which blocks finish.
    repeatable: bool = True
    #: `compile` takes the model and its loss as one piece rather than block by block.
    whole_model: bool = False
    #: A forward and backward pass is recorded once and started as one (`recorded_pass.py`).
    graphs: bool = False
    #: The optimizer starts before the loss has been read, and leaves the weights as they are where it is not finite.
    early_update: bool = True


def cuda_options() -> CudaOptions:
    """The options of this process. Raises TricksterError for a name that is none."""
    options = CudaOptions()
    names = [field.name for field in fields(options)]
    for word in filter(None, os.environ.get(OPTIONS_VARIABLE, "").split(",")):
        name = word.removeprefix("-")
        if name not in names:
            raise TricksterError(
                "bad-environment",
                f"{OPTIONS_VARIABLE} names {name!r}, which is none of {', '.join(names)}.",
                "Unset it.",
            )
        options = replace(options, **{name: name == word})
    return options


def use_repeatable_kernels() -> Callable[[], None]:
    """Have torch use only kernels that give the same bits every time. Returns what takes it back.

    Attention then goes without cuDNN, and flash attention and the memory-efficient kernel sum their gradients in a
    fixed order (aten/src/ATen/native/transformers/cuda: sdp_utils.cpp, attention_backward.cu). Compiled code adds up an
    embedding's gradient without atomics, and its kernels are chosen by rule, not by timing them, which another process
    might do with another outcome. An operation that has no such kernel raises.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)  # not `warn_only`, which leaves attention as it is
    settings.fill_uninitialized_memory = False  # it would write every new tensor once more

    def take_back() -> None:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = filled

    return take_back


def to_device(array: NDArray[np.int64], device: torch.device) -> Tensor:
    """An array as a tensor on a device. A copy to a GPU runs behind the caller's back, which only pinned memory can."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def read_later(values: Tensor) -> Callable[[], list[float]]:
    """Begin to copy values [N] to the host. The result waits for the copy, not for what the GPU is given after it."""
    if values.device.type != "cuda":
        return values.tolist
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def read() -> list[float]:
        arrived.synchronize()
        found: list[float] = host.tolist()
        return found

    return read
