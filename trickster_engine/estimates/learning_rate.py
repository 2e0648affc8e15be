"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from trickster_engine.config.plan import TrainingConfig


def learning_rate_factor(step: int, training: TrainingConfig) -> float:
    """The share of the full learning rate that update number `step` (0 is the first) uses, in 0..1.

    Rises in a straight line over `warmup_steps`, then falls to `min_learning_rate` at `lr_decay_steps` (the last step,
    where that is 0), along half a cosine or a straight line, and stays there. From `lr_restart_step` on the same once
    more, beginning at `min_learning_rate`; the curve before it ends there. Cosine and restarts: Loshchilov & Hutter
    2017, arXiv:1608.03983.
    """
    begin, end = 0, training.lr_decay_steps or training.max_steps
    if step < training.lr_restart_step:
        end = training.lr_restart_step
    else:
        begin = training.lr_restart_step
    floor = training.min_learning_rate / training.learning_rate
    if step < begin + training.warmup_steps:
        bottom = floor if begin else 0.0
        return bottom + (1.0 - bottom) * ((step - begin + 1) / training.warmup_steps)
    left = max(1, end - begin - training.warmup_steps)
    progress = min(1.0, (step + 1 - begin - training.warmup_steps) / left)
    remaining = 1.0 - progress if training.lr_schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return floor + (1.0 - floor) * remaining


def learning_rate_at(step: int, training: TrainingConfig) -> float:
    """Return the learning rate of update number `step` (0 is the first)."""
    return training.learning_rate * learning_rate_factor(step, training)
