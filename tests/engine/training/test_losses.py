"""What is minimised: torch's own functions are the judge, and losses stay numbers wherever their settings may be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.losses import training_loss, twice_read_loss
from trickster_engine.config.plan import ModelConfig, Plan, TrainingConfig
from trickster_engine.model.llama import Llama


@pytest.mark.parametrize("gamma", [0.0, 1.2e-38, 0.5, 1.0, 2.0, 100.0])
def test_focal_loss_has_a_slope_where_a_token_is_certain(gamma: float) -> None:
    logits = torch.tensor([[[200.0, 0.0, 0.0], [0.0, 1.0, 2.0]]], requires_grad=True)
    loss = training_loss(logits, torch.tensor([[0, 1]]), TrainingConfig(loss="focal", focal_gamma=gamma))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None and torch.isfinite(logits.grad).all()
    probability = torch.softmax(torch.tensor([0.0, 1.0, 2.0]), 0)[1].double()
    assert loss.item() == pytest.approx(float((1 - probability) ** gamma * -probability.log() / 2), rel=1e-5, abs=1e-30)


@pytest.mark.parametrize(
    ("loss", "taught"),
    [("cross_entropy", False), ("cross_entropy", True), ("label_smoothing", False), ("focal", False)],
)
def test_r_drop_is_the_mean_of_two_readings_and_of_both_divergences_between_them(loss: str, taught: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    ours = torch.randn((4, 5, 7), generator=generator).requires_grad_()
    theirs = ours.detach().double().requires_grad_()
    targets = torch.randint(0, 7, (2, 5), generator=generator)
    said = torch.randn((2, 5, 7), generator=generator).softmax(-1) if taught else None
    training = TrainingConfig(loss=loss, r_drop=0.7)
    found = twice_read_loss(ours, targets, training, said)
    found.backward()
    first, second = (part.flatten(0, 1).log_softmax(-1) for part in theirs.chunk(2))
    apart = [
        F.kl_div(one, other, reduction="batchmean", log_target=True)
        for one, other in ((first, second), (second, first))
    ]
    texts = [training_loss(part, targets, training, said) for part in theirs.chunk(2)]
    wanted = (texts[0] + texts[1]) / 2 + 0.7 * (apart[0] + apart[1]) / 2
    wanted.backward()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad.double(), theirs.grad, atol=1e-7)
    assert apart[0].item() > 0.1


@pytest.mark.parametrize("compiled", [False, True])
def test_with_r_drop_a_batch_is_read_twice_each_time_with_dropout_of_its_own(compiled: bool) -> None:
    model = ModelConfig(
        hidden_dim=32, num_layers=2, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=16, dropout=0.3
    )
    training = TrainingConfig(batch_size=2, precision="fp32", r_drop=2.0)
    backend = TorchBackend(Plan(model=model, training=training), "cpu", compiled=compiled)
    text = torch.randint(0, 256, (2, 17), generator=torch.Generator().manual_seed(1))
    inputs, targets = text[:, :-1], text[:, 1:]
    backend.model.train()
    torch.manual_seed(5)
    found = backend._loss(inputs, targets)
    torch.manual_seed(5)
    logits = backend.model(torch.cat((inputs, inputs)))
    assert not torch.allclose(*logits.chunk(2))
    assert found.item() == pytest.approx(twice_read_loss(logits, targets, training).item(), rel=1e-6)
    # Without dropout both readings are one, and it is not read again.
    alone = TorchBackend(Plan(model=replace(model, dropout=0.0), training=training), "cpu", compiled=compiled)
    once = Llama(replace(model, dropout=0.0)).initialize(training.seed)(inputs)
    expected = F.cross_entropy(once.flatten(0, 1), targets.flatten())
    assert alone._loss(inputs, targets).item() == pytest.approx(expected.item(), rel=1e-5)
