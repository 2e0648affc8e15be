"""Parameter counts: the golden values, and torch's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trickster_engine.config import ModelConfig, preset_names, preset_plan
from trickster_engine.config.shapes import count_parameters

CHAR = ModelConfig(vocab_size=96, hidden_dim=384, num_layers=6, num_heads=6, num_kv_heads=3, mlp_dim=1024)

GOLDEN = [
    (ModelConfig(), 5_180_672),
    (ModelConfig(hidden_dim=384, num_heads=6, num_kv_heads=6, mlp_dim=1152), 11_604_864),
    (ModelConfig(hidden_dim=512, num_layers=8, mlp_dim=1536), 27_402_752),
    (ModelConfig(hidden_dim=768, num_layers=12, num_heads=12, num_kv_heads=12, mlp_dim=2304), 92_228_352),
    (ModelConfig(hidden_dim=2048, num_layers=22, num_heads=32, num_kv_heads=32, mlp_dim=5632), 1_130_981_376),
    (replace(CHAR, tie_embeddings=False), 9_810_816),  # printed by a real board
    (CHAR, 9_773_952),
    (replace(CHAR, vocab_size=32_000), 22_025_088),  # printed by a real board
    (replace(CHAR, vocab_size=256, tie_embeddings=False), 9_933_696),
]


@pytest.mark.parametrize(("model", "total"), GOLDEN)
def test_golden_values(model: ModelConfig, total: int) -> None:
    assert count_parameters(model).total == total


def test_a_block_of_nano() -> None:
    assert count_parameters(ModelConfig()).per_block == 852_480


@pytest.mark.parametrize(("model", "total"), GOLDEN)
def test_the_parts_add_up(model: ModelConfig, total: int) -> None:
    parts = count_parameters(model)
    assert parts.embedding + parts.attention + parts.mlp + parts.norms + parts.output == total
    assert parts.embedding + parts.output + model.num_layers * parts.per_block + model.hidden_dim == total
    assert parts.matrices == parts.attention + parts.mlp
    assert (parts.output == 0) == model.tie_embeddings


def test_presets_have_the_sizes_they_speak_of() -> None:
    totals = {name: count_parameters(preset_plan(name).model).total for name in preset_names()}
    assert totals["nano"] == 5_180_672
    assert totals["nano-11m"] == 11_604_864
    assert totals["mini"] == 27_402_752
    assert totals["midi"] == 92_228_352
    assert totals["mega"] == 1_130_981_376
    assert 0.8e6 < totals["pico"] < 1e6
    assert (
        totals.pop("sim") < 1e5 and preset_names()[-1] == "sim"
    )  # for a simulated chip: not one to choose among these
    assert list(totals.values()) == sorted(totals.values())
