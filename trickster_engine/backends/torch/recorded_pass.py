"""A forward and backward pass as one CUDA graph: one start instead of hundreds.

A GPU does the kernels of a small model in less time than it takes a processor to start them one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: torch's notes on CUDA graphs: what is set up at the first uses must be over before the recording begins.
_WARM_UP = 3


class RecordedPass:
    """Replays `compute` and its backward pass on batches of one shape.

    Gradients are added to the tensors that hold them when it is recorded, so those must stay. Dropout draws from the
    device's generator, which every replay moves on as the pass itself would.
    """

    def __init__(
        self,
        compute: Callable[[Tensor, Tensor], Tensor],
        model: nn.Module,
        shape: tuple[int, int],
        device: torch.device,
    ) -> None:
        """`compute` gives the loss of inputs and targets [B, T], as every micro-batch has it; `shape` is [B, T]."""
        self._inputs = torch.zeros(shape, dtype=torch.long, device=device)
        self._targets = torch.zeros(shape, dtype=torch.long, device=device)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                torch.autograd.backward(compute(self._inputs, self._targets))
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = compute(self._inputs, self._targets)
            torch.autograd.backward(self._loss)
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Add the gradients of a batch [B, T] to those that are there, and return its loss."""
        self._inputs.copy_(inputs)
        self._targets.copy_(targets)
        self._graph.replay()
        return self._loss.detach().clone()
