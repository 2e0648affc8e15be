"""torch's Muon, with all matrices of one shape orthogonalised together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trickster_engine.backends.torch.eager import EagerOptimizer
from trickster_engine.backends.torch.kernels.library import Kernels

#: Numbers of a matrix up to which it, its factors and its products fit the second cache of a core, or nearly so.
_CACHED = 1 << 18


class BatchedMuon(EagerOptimizer, torch.optim.Muon):
    """The same updates as torch.optim.Muon, up to rounding, in a few large operations for the many small ones.

    A small model has dozens of matrices of two or three shapes, and one by one each of the fifteen products that
    orthogonalise it is over before it is well under way. State and settings are those of torch.optim.Muon, which always
    computes in bf16; here `dtype` says in what, since a processor without bf16 takes far longer for it than for fp32.
    With `kernels` (kernels/muon.cpp) each matrix that fits is updated in the caches of one of the processor's cores.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        *,
        dtype: torch.dtype = torch.bfloat16,
        kernels: Kernels | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(params, **settings)
        self._dtype = dtype
        self._kernels = kernels

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient. No closure is called: nothing here needs the loss again."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            cached = self._for_kernels(parameters)
            if self._kernels and cached:
                self._step_in_caches(self._kernels, cached, group)
                parameters = [parameter for parameter in parameters if parameter.numel() > _CACHED]
            if not parameters:
                continue
            gradients = [parameter.grad for parameter in parameters]
            buffers = [self._momentum_buffer(parameter) for parameter in parameters]
            torch._foreach_lerp_(buffers, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, buffers, group["momentum"]) if group["nesterov"] else buffers
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            for same_shape in _by_shape(updates):
                wide = torch.stack([_wide(updates[index]) for index in same_shape])
                settings = (group["ns_coefficients"], group["ns_steps"], group["eps"])
                directions = orthogonalize(wide.to(self._dtype), *settings)
                for index, direction in zip(same_shape, directions, strict=True):
                    rows, columns = parameters[index].shape
                    update = direction.mT if rows > columns else direction
                    parameters[index].add_(update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)

    def _for_kernels(self, parameters: list[Tensor]) -> list[Tensor]:
        """The matrices that a core's caches hold, the largest first, where there are enough for every core."""
        cached = sorted(
            (parameter for parameter in parameters if parameter.numel() <= _CACHED), key=lambda x: -x.numel()
        )
        return cached if len(cached) >= torch.get_num_threads() else []

    def _step_in_caches(self, kernels: Kernels, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices, each in one go."""
        rows = []
        gradients = [parameter.grad.contiguous() for parameter in parameters if parameter.grad is not None]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert parameter.is_contiguous()
            addresses = (matrix.data_ptr() for matrix in (parameter, gradient, self._momentum_buffer(parameter)))
            rows.append([*addresses, *parameter.shape])
        kernels(
            *("muon", self._dtype, len(rows), torch.tensor(rows, dtype=torch.int64)),
            *(float(group["momentum"]), int(group["nesterov"]), float(group["weight_decay"]), float(group["lr"])),
            *(*map(float, group["ns_coefficients"]), int(group["ns_steps"]), float(group["eps"])),
        )

    def _momentum_buffer(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def orthogonalize(
    matrices: Tensor, coefficients: tuple[float, float, float], iterations: int, epsilon: float
) -> Tensor:
    """Bring all singular values of matrices [N, rows, columns], rows <= columns, near 1.

    The quintic Newton-Schulz iteration of Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.
    """
    a, b, c = coefficients
    x: Tensor = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=epsilon)
    for _ in range(iterations):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def _by_shape(matrices: Iterable[Tensor]) -> list[list[int]]:
    """The indices of the matrices, those together that are alike once laid on their long side."""
    groups: dict[torch.Size, list[int]] = {}
    for index, matrix in enumerate(matrices):
        groups.setdefault(_wide(matrix).shape, []).append(index)
    return list(groups.values())


def _wide(matrix: Tensor) -> Tensor:
    return matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
