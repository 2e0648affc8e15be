"""Figures of a plan: the engine's estimates in the form that hovers, hints and lenses use them."""

from __future__ import annotations

import math

from trickster_engine.config.plan import Plan
from trickster_engine.estimates import ParameterCount, count_parameters


def parameters(plan: Plan) -> ParameterCount:
    """Weights by part."""
    return count_parameters(plan.model)


def tokens_per_step(plan: Plan) -> int:
    """Tokens behind one update of the weights."""
    return plan.training.batch_size * plan.training.gradient_accumulation_steps * plan.model.max_seq_len


def training_tokens(plan: Plan, characters: int | None) -> int | None:
    """Tokens of training text; None where only reading the text would tell."""
    if characters is None or plan.data.tokenizer not in ("byte", "char"):
        return None
    return int(characters * (1 - plan.data.val_fraction))


def epochs(plan: Plan, train_tokens: int) -> float:
    """How often the run reads the training text."""
    return tokens_per_step(plan) * plan.training.max_steps / max(train_tokens, 1)


def uniform_loss(plan: Plan) -> float:
    """Loss of a model that knows nothing, in nats."""
    return math.log(plan.model.vocab_size)


def training_memory(plan: Plan) -> float | None:
    """Bytes needed while training."""
    return None


def flops_per_token(plan: Plan) -> float:
    """Floating-point operations to learn from one token.

    Two for each weight that the token passes on the way forward, four on the way back; and attention, which multiplies
    it with every token before it: half of max_seq_len on average.
    """
    model, weights = plan.model, count_parameters(plan.model)
    output = model.vocab_size * model.hidden_dim
    attention = model.num_layers * 2 * model.hidden_dim * model.max_seq_len / 2
    return 6.0 * (weights.matrices + output + attention)


def flops_per_step(plan: Plan) -> float:
    """Floating-point operations of one update."""
    return flops_per_token(plan) * tokens_per_step(plan)
