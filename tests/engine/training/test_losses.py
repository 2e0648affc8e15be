"""Losses stay numbers wherever their settings may be."""

from __future__ import annotations

import pytest
import torch

from trickster_engine.backends.torch.losses import training_loss
from trickster_engine.config.plan import TrainingConfig


@pytest.mark.parametrize("gamma", [0.0, 1.2e-38, 0.5, 1.0, 2.0, 100.0])
def test_focal_loss_has_a_slope_where_a_token_is_certain(gamma: float) -> None:
    logits = torch.tensor([[[200.0, 0.0, 0.0], [0.0, 1.0, 2.0]]], requires_grad=True)
    loss = training_loss(logits, torch.tensor([[0, 1]]), TrainingConfig(loss="focal", focal_gamma=gamma))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    probability = torch.softmax(torch.tensor([0.0, 1.0, 2.0]), 0)[1].double()
    assert loss.item() == pytest.approx(float((1 - probability) ** gamma * -probability.log() / 2), rel=1e-5, abs=1e-30)
