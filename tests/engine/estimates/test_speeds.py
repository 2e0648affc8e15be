"""How long a run takes: from what was measured here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.conftest import trickster
from trickster_engine.config import preset_plan
from trickster_engine.estimates.compute import count_compute, tokens_per_step
from trickster_engine.estimates.speeds import FILE, expected_time, keep_speeds, read_speeds, shape_of, speed_of

PICO = preset_plan("pico")


def test_the_same_shape_is_a_measurement() -> None:
    longer = replace(PICO, training=replace(PICO.training, max_steps=6000, seed=7, learning_rate=1e-4))
    expected = expected_time(longer, [speed_of(PICO, "cpu", 1e4, "pico-001")])
    assert expected is not None and (expected.source, expected.run) == ("measured", "pico-001")
    assert expected.seconds == pytest.approx(6000 * tokens_per_step(PICO) / 1e4)


def test_another_shape_is_an_estimate_by_its_arithmetic() -> None:
    nano = preset_plan("nano")
    expected = expected_time(nano, [speed_of(PICO, "cpu", 1e4, "pico-001")])
    assert expected is not None and expected.source == "estimated"
    flops = count_compute(PICO).per_step / tokens_per_step(PICO) * 1e4
    assert expected.seconds == pytest.approx(count_compute(nano).total / flops)


@pytest.mark.parametrize(
    "change", [{"batch_size": 8}, {"optimizer": "adamw"}, {"precision": "fp32"}, {"compile": "always"}]
)
def test_what_changes_the_speed_changes_the_shape(change: dict[str, object]) -> None:
    assert shape_of(replace(PICO, training=replace(PICO.training, **change))) != shape_of(PICO)  # type: ignore[arg-type]


def test_another_kind_of_device_says_nothing() -> None:
    on_gpu = replace(PICO, device=replace(PICO.device, device_type="cuda"))
    assert expected_time(on_gpu, [speed_of(PICO, "cpu", 1e4, "pico-001")]) is None
    assert expected_time(PICO, []) is None


def test_speeds_are_kept_and_replaced(tmp_path: Path) -> None:
    assert read_speeds(tmp_path) == []
    keep_speeds(tmp_path, [speed_of(PICO, "cpu", 1e4, "one")])
    nano = speed_of(preset_plan("nano"), "cpu", 1e3, "two")
    keep_speeds(tmp_path, [nano])
    keep_speeds(tmp_path, [speed_of(PICO, "cpu", 2e4, "three")])
    assert [speed.run for speed in read_speeds(tmp_path)] == ["two", "three"]
    (tmp_path / FILE).write_text("{not json")
    assert read_speeds(tmp_path) == []


def test_a_measurement_is_made_once_and_remembered(tmp_path: Path) -> None:
    small = [f"--set=model_config.{key}" for key in ("hidden_dim=32", "mlp_dim=64", "num_layers=1", "max_seq_len=16")]
    command = ("estimate", "--preset", "pico", *small, "--set=device_config.device_type=cpu")
    environment = {"TRICKSTER_CACHE_DIR": str(tmp_path)}
    assert "--measure" in trickster(*command, **environment).stdout
    measured = trickster(*command, "--measure", **environment)
    assert measured.returncode == 0 and "measured, from" in measured.stdout
    later = json.loads(trickster(*command, "--json", **environment).stdout)
    assert later["time"]["source"] == "measured" and later["time"]["seconds"] > 0
