"""Figures of a plan: the engine's estimates in the form that hovers, hints and lenses use them."""

from __future__ import annotations

from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import ParameterCount, count_parameters
from trickster_engine.data import amounts
from trickster_engine.estimates import compute, memory


def parameters(plan: Plan) -> ParameterCount:
    """Weights by part."""
    return count_parameters(plan.model)


def tokens_per_step(plan: Plan) -> int:
    """Tokens behind one update of the weights."""
    return amounts.tokens_per_step(plan)


def training_tokens(plan: Plan, characters: int | None) -> int | None:
    """Tokens of training text; None where only reading the text would tell."""
    if characters is None or plan.data.tokenizer not in ("byte", "char"):
        return None
    return amounts.training_tokens(plan, characters)


def epochs(plan: Plan, train_tokens: int) -> float:
    """How often the run reads the training text."""
    return amounts.epochs(plan, train_tokens)


def uniform_loss(plan: Plan) -> float:
    """Loss of a model that knows nothing, in nats."""
    return compute.initial_loss(plan.model)


def training_memory(plan: Plan) -> memory.TrainingMemory:
    """Bytes needed while training, by part."""
    return memory.training_memory(plan)


def memory_on_device(plan: Plan) -> int:
    """Bytes needed where the model is: on a GPU without the interpreter's own, in main memory with it."""
    needed = memory.training_memory(plan)
    return needed.device if plan.device.device_type in ("cuda", "tt") else needed.total


def flops_per_token(plan: Plan) -> float:
    """Floating-point operations to learn from one token: a forward pass, and a backward pass that costs two."""
    return 3.0 * compute.forward_flops_per_token(plan.model)


def flops_per_step(plan: Plan) -> float:
    """Floating-point operations of one update."""
    return flops_per_token(plan) * tokens_per_step(plan)
