"""How much arithmetic and how much text a config asks for."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.amounts import tokens_per_step

#: By torch, compiling takes from seconds (when this shape was compiled before) to a minute. Runs shorter than this many
#: floating-point operations are over before a faster step has earned that back: about ten minutes of two CPU cores.
WORTH_COMPILING_FROM = {"cpu": 1e14, "cuda": 1e16}
#: Our own kernels, for CPUs and on Linux, are compiled once for all shapes, in seconds: a run of ten earns that back.
WORTH_FUSING_FROM = 1e12


@dataclass(frozen=True)
class Compute:
    """Floating-point operations, a multiplication and an addition counted as two.

    Attention is counted in full, although half of it lies above the diagonal and good kernels skip it: that is how
    utilisation figures are usually computed, and so they stay comparable.
    """

    forward_per_token: int
    backward_per_token: int
    attention_share: float  # of the forward pass, the part that grows with max_seq_len
    per_step: int
    total: int  # over all steps, evaluations not counted


def passes_per_update(plan: Plan) -> int:
    """How many forward passes an update costs: its own and a backward pass like two, twice with `r_drop`, and each
    teacher's.

    A teacher is reckoned as large as the model, since a config says where it is and not what it is.
    """
    return (6 if plan.reads_twice else 3) + len(plan.training.teachers)


def forward_flops_per_token(model: ModelConfig) -> int:
    """Return the operations of a forward pass over a full context, for each token of it."""
    return _matrix_flops(model) + _attention_flops(model)


def _matrix_flops(model: ModelConfig) -> int:
    """Every weight of a matrix is used once a token; the output layer counts also when its weights are shared."""
    counts = count_parameters(model)
    return 2 * (counts.matrices + counts.embedding)


def _attention_flops(model: ModelConfig) -> int:
    """Queries times keys and weights times values, over max_seq_len positions."""
    return 4 * model.num_layers * model.hidden_dim * model.max_seq_len


def count_compute(plan: Plan) -> Compute:
    """Count the arithmetic of a plan."""
    forward = forward_flops_per_token(plan.model)
    per_step = passes_per_update(plan) * forward * tokens_per_step(plan)
    return Compute(
        forward_per_token=forward,
        backward_per_token=2 * forward,
        attention_share=_attention_flops(plan.model) / forward,
        per_step=per_step,
        total=per_step * plan.training.max_steps,
    )


def has_kernels(device: str) -> bool:
    """Whether there are kernels of our own for a kind of device on this system, given a compiler."""
    return device == "cpu" and sys.platform == "linux"


def worth_compiling(plan: Plan, device: str) -> bool:
    """Whether `compile: auto` looks for faster kernels for this plan on a kind of device (cpu, cuda or mps)."""
    fusing = has_kernels(device) and count_compute(plan).total >= WORTH_FUSING_FROM
    return fusing or worth_compiling_blocks(plan, device)


def worth_compiling_blocks(plan: Plan, device: str) -> bool:
    """Whether it has torch compile the blocks, where there are no kernels of our own."""
    return count_compute(plan).total >= WORTH_COMPILING_FROM.get(device, float("inf"))


def initial_loss(model: ModelConfig) -> float:
    """Return the loss of a uniform prediction, in nats: ln V."""
    return math.log(model.vocab_size)
