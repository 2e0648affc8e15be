"""What follows the blocks in training on a CPU: the last norm, and the loss of the logits, by our kernels.

Letters in the comments on shapes: B sequences, T tokens each, N = B T, D hidden_dim, V vocab_size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trickster_engine.backends.torch.kernels.library import Kernels


class FusedHead:
    """The last norm and the cross-entropy."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def norm(self, norm: nn.RMSNorm, x: Tensor) -> Tensor:
        """Run the last norm, as `Decoder.run_norm` does, and round to what the output's product is computed in."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        y: Tensor = _Norm.apply(x, norm.weight, float(norm.eps or 0.0), dtype, self._kernels)  # type: ignore[no-untyped-call]
        return y

    def cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats of logits [B, T, V] and targets [B, T].

        Raises IndexError as torch does for a target beyond the vocabulary: the kernel would write beside its memory.
        """
        least, most = (int(target) for target in targets.aminmax())
        if least < 0 or most >= logits.shape[-1]:
            raise IndexError(f"Target {least if least < 0 else most} is out of bounds.")
        loss: Tensor = _CrossEntropy.apply(logits, targets, self._kernels)  # type: ignore[no-untyped-call]
        return loss


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype, run: Kernels) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        normed, inverse = torch.empty_like(x, dtype=dtype), x.new_empty(rows)
        run("add_norm", dtype, rows, width, x, None, 0.0, 0, weight, epsilon, None, normed, inverse)
        ctx.save_for_backward(x, weight, inverse)
        ctx.run, ctx.dtype = run, dtype
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_normed: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        rows, width = inverse.numel(), x.shape[-1]
        d_x, d_weight = torch.empty_like(x), torch.empty_like(weight)
        ctx.run(
            *("add_norm_backward", ctx.dtype, rows, width, x, inverse, weight, d_normed.contiguous(), None),
            *(0.0, 0, d_x, None, d_weight),
        )
        return d_x, d_weight, None, None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, run: Kernels) -> Tensor:
        logits, targets = logits.contiguous(), targets.contiguous()
        rows, vocabulary = targets.numel(), logits.shape[-1]
        sums = torch.float64 if logits.dtype == torch.float64 else torch.float32
        losses, d_logits = torch.empty(rows, dtype=sums), torch.empty_like(logits)
        run("cross_entropy", logits.dtype, rows, vocabulary, logits, targets, 1 / rows, losses, d_logits)
        ctx.save_for_backward(d_logits)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor | None, ...]:
        (d_logits,) = ctx.saved_tensors
        return d_logits if d_loss.item() == 1.0 else d_logits * d_loss, None, None
