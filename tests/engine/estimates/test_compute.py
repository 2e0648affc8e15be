"""Arithmetic, text, and the learning rate."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from trickster_engine.config import DataConfig, ModelConfig, Plan, TrainingConfig, preset_plan
from trickster_engine.data.amounts import epochs, tokens_per_epoch, tokens_per_step, training_tokens
from trickster_engine.estimates.compute import count_compute, initial_loss
from trickster_engine.estimates.estimate import estimate
from trickster_engine.estimates.learning_rate import learning_rate_at
from trickster_engine.model.llama import Llama
from trickster_engine.system.units import flops_text, size_text

SHAPES = [
    ModelConfig(hidden_dim=64, num_layers=2, num_heads=4, num_kv_heads=4, mlp_dim=96, max_seq_len=32, dropout=0.0),
    ModelConfig(hidden_dim=64, num_layers=3, num_heads=4, num_kv_heads=2, mlp_dim=160, max_seq_len=48, vocab_size=300),
]


@pytest.mark.parametrize("model", SHAPES)
def test_operations_are_those_that_torch_counts(model: ModelConfig) -> None:
    network = Llama(model).initialize(1)
    tokens = torch.zeros((2, model.max_seq_len), dtype=torch.long)
    # The plain attention kernel, whose two products torch's counter sees as such.
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
        torch.no_grad(),
    ):
        network(tokens)
    compute = count_compute(Plan(model=model))
    assert counter.get_total_flops() == tokens.numel() * compute.forward_per_token


def test_a_step_of_nano() -> None:
    plan = preset_plan("nano")
    compute = count_compute(plan)
    matrices = 6 * (4 * 256**2 + 3 * 256 * 768) + 256 * 256
    assert compute.forward_per_token == 2 * matrices + 4 * 6 * 256 * 512
    assert compute.backward_per_token == 2 * compute.forward_per_token
    assert tokens_per_step(plan) == 16 * 2 * 512
    assert compute.per_step == 3 * compute.forward_per_token * 16_384
    assert compute.total == compute.per_step * 10_000


def test_tiny_shakespeare_is_split_as_prepared() -> None:
    assert training_tokens(preset_plan("nano")) == 1_003_854
    assert training_tokens(Plan(data=DataConfig(tokenizer="char"))) == 1_003_854


def test_other_text_is_not_known() -> None:
    for data in (DataConfig(corpus="python"), DataConfig(tokenizer="bpe"), DataConfig(train_data="a", val_data="b")):
        assert training_tokens(Plan(data=data)) is None
        assert estimate(Plan(data=data)).text.epochs is None
    assert training_tokens(Plan(data=DataConfig(corpus="mine.txt")), 1_000) == 900


def test_epochs_are_those_of_the_batches() -> None:
    np = pytest.importorskip("numpy")
    from trickster_engine.data.batches import TrainingBatches

    plan = replace(preset_plan("pico"), training=TrainingConfig(max_steps=700, batch_size=8, warmup_steps=10))
    tokens = np.zeros(50_000, dtype=np.uint8)
    batches = TrainingBatches(tokens, plan.model.max_seq_len, 8, 1)
    assert epochs(plan, 50_000) == pytest.approx(700 * 2 * 8 / batches.windows_per_epoch)
    assert tokens_per_epoch(plan, 50_000) == batches.windows_per_epoch * plan.model.max_seq_len


def test_a_model_that_knows_nothing_guesses() -> None:
    assert initial_loss(ModelConfig()) == pytest.approx(5.5452, abs=1e-4)
    assert initial_loss(ModelConfig(vocab_size=65)) == math.log(65)


def test_the_learning_rate_climbs_and_falls() -> None:
    plan = preset_plan("nano")
    rates = [learning_rate_at(step, plan.training) for step in (0, 499, 999, 5_500, 9_999)]
    assert rates[0] == pytest.approx(3e-7)
    assert rates[1] == pytest.approx(1.5e-4)
    assert rates[2] == pytest.approx(3e-4)
    assert rates[3] == pytest.approx(1.65e-4, rel=1e-3)
    assert rates[4] == pytest.approx(3e-5)


def test_an_estimate_is_json() -> None:
    figures = json.loads(json.dumps(estimate(preset_plan("nano")).as_json()))
    assert figures["parameters"]["total"] == 5_180_672
    assert figures["memory"]["training"]["total"] > 0
    assert figures["text"]["epochs"] == pytest.approx(163.3, abs=0.1)


def test_an_estimate_is_text() -> None:
    text = estimate(preset_plan("nano")).as_text()
    for part in ("5,180,672 parameters", "852,480 in each block", "163.3 epochs", "ln V = 5.5452"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_sizes_are_written_for_people() -> None:
    assert [size_text(size) for size in (12, 3_540_000, 490_000_000, 2_880_000_000, 1.5e13)] == [
        "12 bytes",
        "3.54 MB",
        "490 MB",
        "2.88 GB",
        "15.0 TB",
    ]
    assert [flops_text(n) for n in (999, 13_500_000, 6.64e15)] == ["999 FLOP", "13.5 MFLOP", "6.64 PFLOP"]


def test_memory_is_said_to_be_each_device_s_where_there_are_several() -> None:
    plan = preset_plan("nano")
    assert "on each of" not in estimate(plan).as_text()
    several = replace(plan, device=replace(plan.device, mesh_shape=(1, 2), enable_ddp=True))
    assert "of memory for training in fp32 on each of 2 devices" in estimate(several).as_text()
