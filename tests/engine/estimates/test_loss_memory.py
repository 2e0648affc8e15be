"""What teachers and a second reading take, against what torch allocates in a forward and a backward pass."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config import ModelConfig, Plan, TrainingConfig, preset_plan
from trickster_engine.estimates.compute import count_compute
from trickster_engine.estimates.memory import training_memory
from trickster_engine.model.llama import Llama

#: A vocabulary so large that what is done with the logits is nearly all.
MODEL = ModelConfig(
    vocab_size=4096, hidden_dim=32, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=64, dropout=0.1
)
BATCH = 4


class Peak(TorchDispatchMode):
    """The most bytes of tensors that were alive at once, of those made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: int = 0
        self._alive: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (list, tuple)) else [found]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._alive:
                    self._alive[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self._alive.pop, storage._cdata, None)
        self.bytes = max(self.bytes, sum(self._alive.values()))
        return found


def measured(plan: Plan) -> int:
    """The peak of a pass, in bytes, beside the weights and the optimizer."""
    teachers = [
        Llama(replace(plan.model, dropout=0.0)).initialize(seed) for seed, _ in enumerate(plan.training.teachers)
    ]
    backend = TorchBackend(plan, "cpu", compiled=False, teachers=teachers)
    backend.model.train()
    tokens = torch.randint(0, plan.model.vocab_size, (plan.training.batch_size, plan.model.max_seq_len))
    torch.autograd.backward(backend._loss(tokens, tokens))
    backend.model.zero_grad()
    with Peak() as peak:
        torch.autograd.backward(backend._loss(tokens, tokens))
    return int(peak.bytes)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("loss", "teachers"), [*(("cross_entropy", teachers) for teachers in (0, 1, 2, 8)), ("label_smoothing", 0)]
)
@pytest.mark.parametrize("r_drop", [0.0, 1.0])
def test_the_estimate_is_what_is_allocated(
    precision: Literal["fp32", "bf16"], loss: str, teachers: int, r_drop: float
) -> None:
    training = TrainingConfig(
        batch_size=BATCH,
        gradient_accumulation_steps=1,
        precision=precision,
        loss=loss,
        r_drop=r_drop,
        distill_from=tuple("abcdefgh"[:teachers]) or None,
    )
    plan = Plan(model=MODEL, training=training)
    memory = training_memory(plan, precision)
    estimated = memory.activations + memory.logits + memory.workspace + memory.gradients
    # Of each teacher its output layer is counted, in fp32 a view, in bf16 a copy, though it is none of the pass.
    views = teachers * (4 if precision == "fp32" else 2) * MODEL.vocab_size * MODEL.hidden_dim
    assert measured(plan) - views == pytest.approx(estimated, rel=0.08)
    alone = training_memory(replace(plan, training=replace(training, distill_from=None)), precision)
    assert memory.weights == alone.weights * (1 + teachers)


def test_what_is_read_twice_is_computed_as_twice_the_batch_is() -> None:
    plan = preset_plan("best")
    twice = replace(plan, training=replace(plan.training, r_drop=1.0))
    wider = replace(plan, training=replace(plan.training, batch_size=2 * plan.training.batch_size))
    assert training_memory(twice).activations == training_memory(wider).activations
    assert count_compute(twice).per_step == count_compute(wider).per_step
    undropped = replace(twice, model=replace(twice.model, dropout=0.0))  # both readings would be the same
    assert training_memory(undropped) == training_memory(replace(plan, model=undropped.model))
