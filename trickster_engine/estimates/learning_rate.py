"""The learning rate at any step, from the very function that training uses."""

from __future__ import annotations

from trickster_engine.config.plan import Plan
from trickster_engine.training.schedule import learning_rate_factor


def learning_rate_at(step: int, plan: Plan) -> float:
    """Return the learning rate of update number `step` (0 is the first)."""
    return plan.training.learning_rate * learning_rate_factor(step, plan.training)
