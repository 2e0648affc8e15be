"""How much text there is, and how much of it a plan reads."""

from __future__ import annotations

from trickster_engine.config.corpus_files import SHAKESPEARE_BYTES
from trickster_engine.config.plan import Plan
from trickster_engine.config.settings import STREAM
from trickster_engine.config.split import validation_size


def tokens_per_step(plan: Plan) -> int:
    """Return how many tokens stand behind one update: batch x accumulation x context, over all devices."""
    return plan.training.batch_size * plan.training.gradient_accumulation_steps * plan.model.max_seq_len


def training_tokens(plan: Plan, text_tokens: int | None = None) -> int | None:
    """Return how many tokens there are to train on, after the validation part is taken off.

    `text_tokens` counts the whole text. Left out, it is known for Tiny Shakespeare as one stream of bytes or
    characters, and None is returned for anything else: other text has to be read (or at least its size looked up)
    first.
    """
    if text_tokens is None:
        known = plan.data.corpus == "shakespeare" and plan.data.tokenizer in ("byte", "char")
        if plan.data.train_data or not known or plan.data.documents != STREAM:
            return None
        text_tokens = SHAKESPEARE_BYTES
    return text_tokens - validation_size(text_tokens, plan.data.val_fraction)


def windows_per_epoch(tokens: int, length: int) -> int:
    """Return how many sequences of `length` tokens one pass over the training text has.

    One fewer than would fit: that leaves room for a pass to begin at any token of the first.
    """
    return max(1, (tokens - 1) // length - 1)


def tokens_per_epoch(plan: Plan, training_text_tokens: int) -> int:
    """Return how many tokens one pass over the training text feeds to the model: whole windows of max_seq_len."""
    length = plan.model.max_seq_len
    return windows_per_epoch(training_text_tokens, length) * length


def epochs(plan: Plan, training_text_tokens: int) -> float:
    """Return how many times the run reads the training text."""
    return plan.training.max_steps * tokens_per_step(plan) / tokens_per_epoch(plan, training_text_tokens)
