"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from trickster_engine.config.plan import TrainingConfig


def learning_rate_factor(step: int, training: TrainingConfig) -> float:
    """The share of the full learning rate that update number `step` (0 is the first) uses, in 0..1.

    Rises in a straight line over `warmup_steps`, then falls to `min_learning_rate` at the last step, along half a
    cosine (Loshchilov & Hutter 2017, arXiv:1608.03983) or a straight line.
    """
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    floor = training.min_learning_rate / training.learning_rate
    left = max(1, training.max_steps - training.warmup_steps)
    progress = min(1.0, (step + 1 - training.warmup_steps) / left)
    remaining = 1.0 - progress if training.lr_schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return floor + (1.0 - floor) * remaining
