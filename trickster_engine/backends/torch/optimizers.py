"""Which optimizer updates which weight, and its state under names that do not depend on the order of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trickster_engine.backends.torch.eager import EagerAdamW
from trickster_engine.backends.torch.kernels.library import Kernels
from trickster_engine.backends.torch.muon import BatchedMuon
from trickster_engine.config.plan import TrainingConfig


class Optimizers:
    """AdamW on everything, or Muon on the matrices inside the blocks and AdamW on embeddings, output and norms.

    Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. AdamW: arXiv:1711.05101. Weight decay is left
    out for the norms' scales, which have nothing to gain from being small.
    """

    def __init__(
        self,
        model: nn.Module,
        training: TrainingConfig,
        muon_dtype: torch.dtype = torch.bfloat16,
        kernels: Kernels | None = None,
    ) -> None:
        """`muon_dtype` is what Muon's matrix products are computed in, on a CPU by `kernels` where there are any."""
        self._names: dict[torch.Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        by_muon: list[nn.Parameter] = []
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if parameter.ndim < 2:
                plain.append(parameter)
            elif training.optimizer == "muon" and ".layers." in name:
                by_muon.append(parameter)
            else:
                decayed.append(parameter)
        groups = [
            {"params": decayed, "weight_decay": training.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        device = decayed[0].device.type
        adamw = EagerAdamW(
            groups,
            lr=training.learning_rate,
            betas=(training.beta1, training.beta2),
            fused=device in ("cpu", "cuda", "mps"),
        )
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = [(adamw, training.learning_rate)]
        if by_muon:
            muon = BatchedMuon(
                by_muon,
                lr=training.muon_learning_rate,
                momentum=training.muon_momentum,
                weight_decay=training.weight_decay,
                dtype=muon_dtype,
                kernels=kernels,
            )
            self._optimizers.append((muon, training.muon_learning_rate))

    def clip_gradients(self, limit: float) -> torch.Tensor:
        """Scale the gradients to a norm of at most `limit` (0: leave them) and return their norm before that.

        It lies on the device, and nobody has waited for it.
        """
        norm = torch.nn.utils.clip_grad_norm_(self._names, limit if limit > 0 else math.inf)
        if hasattr(norm, "full_tensor"):  # each process has a share of the gradients (fsdp.py)
            norm = norm.full_tensor()
        return norm

    @property
    def can_decide_on_the_device(self) -> bool:
        """Whether `step_if` works: torch's fused AdamW alone has it, for plain tensors."""
        kinds = {type(optimizer) for optimizer, _ in self._optimizers if optimizer.defaults.get("fused")}
        fused = kinds == {EagerAdamW} and len(self._optimizers) == 1
        return fused and not any(hasattr(parameter, "full_tensor") for parameter in self._names)

    def step_if(self, finite: torch.Tensor, factor: float) -> None:
        """Update the weights as `step` does, or nothing where `finite` (a truth value on the device) is false.

        Nobody waits for the value: the kernel reads it, as it does in torch's own mixed-precision training.
        """
        for optimizer, _ in self._optimizers:
            optimizer.found_inf = 1.0 - finite.float()  # type: ignore[attr-defined]
        try:
            self.step(factor)
        finally:
            for optimizer, _ in self._optimizers:
                del optimizer.found_inf  # type: ignore[attr-defined]

    def step(self, factor: float) -> None:
        """Update the weights with every learning rate multiplied by `factor`."""
        for optimizer, full_rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = full_rate * factor
            optimizer.step()

    def zero_grad(self, keep: bool = False) -> None:
        """Forget the gradients; with `keep`, set them to zero where they lie."""
        for optimizer, _ in self._optimizers:
            optimizer.zero_grad(set_to_none=not keep)

    def state(self) -> dict[str, torch.Tensor]:
        """The optimizers' memory as `<kind>/<weight name>` -> tensor, as it lies on the device."""
        return {
            f"{kind}/{self._names[parameter]}": value.detach()
            for optimizer, _ in self._optimizers
            for parameter, memory in optimizer.state.items()
            for kind, value in memory.items()
        }

    def load_state(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        share: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda value, parameter: value,
    ) -> None:
        """Take back what `state` returned, as arrays. Raises KeyError for a name that the model does not have.

        `share(value, parameter)` is the part of a whole tensor that belongs to a parameter's part, where the weights
        are spread over several processes.
        """
        parameters = {name: parameter for parameter, name in self._names.items()}
        owner = {
            parameter: optimizer
            for optimizer, _ in self._optimizers
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for key, array in arrays.items():
            kind, name = key.split("/", 1)
            parameter = parameters[name]
            # The step counter stays on the CPU unless the fused kernel wants it beside the weight.
            device = parameter.device if kind != "step" or parameter.device.type == "cuda" else "cpu"
            value = torch.from_numpy(array.copy()).to(device)
            owner[parameter].state[parameter][kind] = value if kind == "step" else share(value, parameter)
