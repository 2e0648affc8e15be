"""torch's optimizers without its compiler, whose import would take the first second of every run.

torch keeps its compiler from following an optimizer's methods into their Python, and imports it to say so, even where
nothing is compiled. Here they are called as they are written: the same updates, to the bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

_add_param_group: Callable[..., None] = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_zero_grad: Callable[..., None] = inspect.unwrap(torch.optim.Optimizer.zero_grad)
_adamw_step: Callable[..., Any] = inspect.unwrap(torch.optim.AdamW.step)


class EagerOptimizer(torch.optim.Optimizer):
    """For a class to inherit from before one of torch's optimizers; its `step` has to be eager by itself."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's."""
        _add_param_group(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's."""
        _zero_grad(self, set_to_none)


class EagerAdamW(EagerOptimizer, torch.optim.AdamW):
    """torch.optim.AdamW."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """As torch's."""
        return _adamw_step(self, closure)
