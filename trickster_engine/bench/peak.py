"""What this machine reaches in plain matrix products: the yardstick for everything else."""

from __future__ import annotations

import time

import torch

#: Rows and columns of the matrices, large enough that starting a product costs nothing beside it.
SIZES = {"cpu": 1024, "cuda": 8192, "mps": 4096}
_PRODUCTS = 4
_ROUNDS = 5
#: Where a format is emulated, a round takes many seconds; its speed is then plain from the first.
_SECONDS = 2.0


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of the fastest of several rounds of products of square matrices."""
    size = SIZES[device.type]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    fastest = float("inf")
    began = time.perf_counter()
    for _ in range(_ROUNDS + 1):  # the first one wakes threads and kernels, and is never the fastest
        start = time.perf_counter()
        for _ in range(_PRODUCTS):
            product = a @ b
        finish(product)
        fastest = min(fastest, time.perf_counter() - start)
        if time.perf_counter() - began > _SECONDS:
            break
    return float(_PRODUCTS * 2 * size**3 / fastest)


def wait_for(device: str) -> None:
    """Wait until a kind of device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def finish(tensor: torch.Tensor) -> None:
    """Wait until a tensor is there: a GPU computes behind the caller's back."""
    tensor.view(-1)[0].item()
