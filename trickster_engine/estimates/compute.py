"""How much arithmetic and how much text a config asks for."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from trickster_engine.config.plan import ModelConfig, Plan

# Tiny Shakespeare, in characters, all of them single bytes.
SHAKESPEARE_CHARACTERS = 1_115_394
#: Compiling takes from seconds (when this shape was compiled before) to a minute. Runs shorter than this many
#: floating-point operations are over before a faster step has earned that back: about ten minutes of two CPU cores.
WORTH_COMPILING_FROM = {"cpu": 1e14, "cuda": 1e16}


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

    def as_json(self) -> dict[str, float]:
        """Return the figures as plain JSON."""
        return asdict(self)


def forward_flops_per_token(model: ModelConfig) -> int:
    """Return the operations of a forward pass over a full context, for each token of it."""
    return _matrix_flops(model) + _attention_flops(model)


def _matrix_flops(model: ModelConfig) -> int:
    """Every weight of a matrix is used once a token; the output layer counts also when its weights are shared."""
    kv_width = model.num_kv_heads * model.head_dim
    block = 2 * model.hidden_dim**2 + 2 * model.hidden_dim * kv_width + 3 * model.hidden_dim * model.mlp_dim
    return 2 * (model.num_layers * block + model.vocab_size * model.hidden_dim)


def _attention_flops(model: ModelConfig) -> int:
    """Queries times keys and weights times values, over max_seq_len positions."""
    return 4 * model.num_layers * model.hidden_dim * model.max_seq_len


def tokens_per_step(plan: Plan) -> int:
    """Return how many tokens stand behind one update: batch x accumulation x context, over all devices."""
    return plan.training.batch_size * plan.training.gradient_accumulation_steps * plan.model.max_seq_len


def count_compute(plan: Plan) -> Compute:
    """Count the arithmetic of a plan. A backward pass costs two forward passes."""
    forward = forward_flops_per_token(plan.model)
    per_step = 3 * forward * tokens_per_step(plan)
    return Compute(
        forward_per_token=forward,
        backward_per_token=2 * forward,
        attention_share=_attention_flops(plan.model) / forward,
        per_step=per_step,
        total=per_step * plan.training.max_steps,
    )


def worth_compiling(plan: Plan, device: str) -> bool:
    """Whether `compile: auto` has the blocks compiled for this plan on a kind of device (cpu, cuda or mps)."""
    return count_compute(plan).total >= WORTH_COMPILING_FROM.get(device, float("inf"))


def training_tokens(plan: Plan, text_tokens: int | None = None) -> int | None:
    """Return how many tokens there are to train on, after the validation part is taken off.

    `text_tokens` counts the whole text. Left out, it is known for Tiny Shakespeare by bytes or characters, and None
    is returned for anything else: other text has to be read (or at least its size looked up) first.
    """
    if text_tokens is None:
        if plan.data.train_data or plan.data.corpus != "shakespeare" or plan.data.tokenizer not in ("byte", "char"):
            return None
        text_tokens = SHAKESPEARE_CHARACTERS
    # Rounded up for the validation part, as data/prepare.py splits: 1,003,854 and 111,540 of Tiny Shakespeare.
    return text_tokens - math.ceil(round(text_tokens * plan.data.val_fraction, 6))


def tokens_per_epoch(plan: Plan, training_text_tokens: int) -> int:
    """Return how many tokens one pass over the training text feeds to the model: whole windows of max_seq_len."""
    length = plan.model.max_seq_len
    return max(1, (training_text_tokens - 1) // length - 1) * length


def epochs(plan: Plan, training_text_tokens: int) -> float:
    """Return how many times the run reads the training text."""
    return plan.training.max_steps * tokens_per_step(plan) / tokens_per_epoch(plan, training_text_tokens)


def initial_loss(model: ModelConfig) -> float:
    """Return the loss, in nats, of a model that knows nothing and guesses among all tokens alike: ln V."""
    return math.log(model.vocab_size)
