"""Models that are trained wrongly on purpose, for the lesson: the real backend with one thing replaced."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from trickster_engine.backends.base import Backend
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config.plan import Plan
from trickster_engine.model.llama import Attention, KeyValueCache, Llama, RotaryEmbedding


class _WrongTargets(TorchBackend):
    """Learns to repeat the token that it reads, not to predict the next one."""

    def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return super()._loss(inputs, inputs)


class _Unmasked(Attention):
    """Attention in which every token looks at all of them, also at those that come later."""

    def forward(
        self, x: Tensor, rotary: RotaryEmbedding, cache: KeyValueCache | None, layer: int, visible: Tensor | None = None
    ) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        length = x.shape[1]
        return super().forward(x, rotary, cache, layer, x.new_ones(length, length, dtype=bool))  # type: ignore[call-overload]


class _NoCausalMask(TorchBackend):
    def _placed(self, model: Llama) -> Llama:
        for block in model.model.layers:
            unmasked = _Unmasked(model.config)
            unmasked.load_state_dict(block.self_attn.state_dict())  # type: ignore[union-attr]
            block.self_attn = unmasked
        return super()._placed(model)


class _FrozenLayer(TorchBackend):
    """One block in the middle never learns."""

    def _placed(self, model: Llama) -> Llama:
        blocks: nn.ModuleList = model.model.layers
        blocks[len(blocks) // 2].requires_grad_(False)
        return super()._placed(model)


#: By fault. What is not here is broken elsewhere.
_BACKENDS: dict[str, Callable[..., TorchBackend]] = {
    "wrong-targets": _WrongTargets,
    "no-causal-mask": _NoCausalMask,
    "frozen-layer": _FrozenLayer,
}


def open_broken(plan: Plan, fault: str) -> Backend:
    """A backend on the CPU with a fault of `training.faults`. The caller closes it."""
    return _BACKENDS.get(fault, TorchBackend)(plan, "cpu", "fp32", compiled=False)
