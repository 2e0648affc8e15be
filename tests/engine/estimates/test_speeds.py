"""How long a run takes: from what was measured here."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks.predictions import RUNS
from tests.engine.conftest import trickster
from trickster_engine.bench.calibrate import costs
from trickster_engine.config import check, preset_plan, preset_text, set_values
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.estimates.calibration import FILE as CALIBRATION
from trickster_engine.estimates.calibration import FUSED, Calibration, gradient_work, read_calibrations
from trickster_engine.estimates.compute import count_compute, has_kernels
from trickster_engine.estimates.speeds import (
    CALIBRATED_WITHIN,
    CARRIED_WITHIN,
    FILE,
    expected_time,
    keep_speeds,
    read_speeds,
    shape_of,
    speed_of,
)

PICO = preset_plan("pico")
ROOT = Path(__file__).parents[3]


def test_the_same_shape_is_a_measurement() -> None:
    longer = replace(PICO, training=replace(PICO.training, max_steps=6000, seed=7, learning_rate=1e-4))
    expected = expected_time(longer, [speed_of(PICO, "cpu", 1e4, "pico-001")])
    assert expected is not None and (expected.source, expected.run) == ("measured", "pico-001")
    assert expected.seconds == pytest.approx(6000 * tokens_per_step(PICO) / 1e4)


def test_another_shape_is_an_estimate_by_its_arithmetic() -> None:
    best = preset_plan("best")
    expected = expected_time(best, [speed_of(PICO, "cpu", 1e4, "pico-001")])
    assert expected is not None and expected.source == "estimated"
    flops = count_compute(PICO).per_step / tokens_per_step(PICO) * 1e4
    assert expected.seconds == pytest.approx(count_compute(best).total / flops)
    assert expected.as_words() == "estimated, from pico-001, within a factor of 2"


TINY = replace(
    PICO,
    model=replace(PICO.model, hidden_dim=32, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=64, max_seq_len=32),
    training=replace(PICO.training, batch_size=2, gradient_accumulation_steps=1),
)


@pytest.mark.parametrize("name", ["pico", "nano", "mini"])
def test_a_tiny_run_says_nothing_about_a_large_one(name: str) -> None:
    """Its updates are torch's calls, of 713 tokens a second on two cores: pico would take hours by that."""
    tiny = speed_of(TINY, "cpu", 713.0, "tiny-001")
    assert expected_time(preset_plan(name), [tiny]) is None
    near = speed_of(replace(PICO, training=replace(PICO.training, batch_size=8)), "cpu", 9e3, "half-001")
    expected = expected_time(PICO, [tiny, near])
    assert expected is not None and expected.run == "half-001"


def test_how_sure_an_estimate_is_was_measured() -> None:
    """The factors hold for every pair of the recorded runs that is near enough, and for their predictions."""
    recorded = json.loads((ROOT / "docs" / "speed" / "predictions.json").read_text(encoding="utf-8"))["runs"]
    seconds = {one["run"]: one["actual_s"] / one["steps"] for one in recorded}
    for one in recorded:
        assert max(one["predicted_s"] / one["actual_s"], one["actual_s"] / one["predicted_s"]) < CALIBRATED_WITHIN
    plans = {}
    for name, preset, changes in RUNS:
        plans[name] = check(set_values(preset_text(preset), {**changes, "training_config.warmup_steps": "2"})).plan
    carried = 0
    for run, plan in plans.items():
        assert plan is not None
        speed = speed_of(plan, "cpu", tokens_per_step(plan) / seconds[run], run)
        for other, wanted in plans.items():
            assert wanted is not None
            expected = expected_time(wanted, [speed])
            if other != run and expected is not None:
                factor = expected.seconds / wanted.training.max_steps / seconds[other]
                assert max(factor, 1 / factor) < CARRIED_WITHIN, (run, other)
                carried += 1
    assert carried >= 10


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 8},
        {"optimizer": "adamw"},
        {"precision": "fp32"},
        {"distill_from": "m"},
        {"distill_from": ("m", "n")},
        {"compile": "never" if has_kernels("cpu") else "always"},
    ],
)
def test_what_changes_the_speed_changes_the_shape(change: dict[str, object]) -> None:
    changed = replace(PICO, training=replace(PICO.training, **change))  # type: ignore[arg-type]
    assert shape_of(changed, "cpu") != shape_of(PICO, "cpu")


def test_what_is_read_twice_is_computed_in_as_many_calls() -> None:
    plan = replace(PICO, model=replace(PICO.model, dropout=0.1))
    wider = replace(plan, training=replace(plan.training, batch_size=2 * plan.training.batch_size))
    twice = replace(plan, training=replace(plan.training, r_drop=1.0))
    assert shape_of(twice, "cpu") != shape_of(plan, "cpu")
    ours, theirs = (gradient_work(one, "fp32", "cpu") for one in (twice, wider))
    assert ours == pytest.approx(theirs)


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
    estimated = partial(trickster, *command, TRICKSTER_CACHE_DIR=str(tmp_path))
    assert "--calibrate" in estimated("--no-calibrate").stdout
    measured = estimated("--measure")
    assert measured.returncode == 0 and "measured, from" in measured.stdout
    later = json.loads(estimated("--json").stdout)
    assert later["time"]["source"] == "measured" and later["time"]["seconds"] > 0


def test_a_calibration_tells_the_time_of_any_shape() -> None:
    known = Calibration(
        "cpu",
        gradients={
            name: {"flops": 1e-11, "bytes": cost, "dropped": 0.0, "blocks": 1e-3}
            for name, cost in (("fp32", 2e-9), ("bf16", 1e-9))
        },
        updates={
            "adamw": {"weights": 1e-9, "blocks": 0.0},
            "muon": {"weights": 0.0, "blocks": 0.0, "muon_fp32": 0.0, "muon_bf16": 0.0},
        },
    )
    plain = replace(PICO, training=replace(PICO.training, compile="never"))
    expected = expected_time(plain, [], [known])
    assert expected is not None and expected.source == "estimated"
    fused = expected_time(PICO, [], [known])
    assert fused is not None
    assert expected.seconds / fused.seconds == pytest.approx(FUSED if has_kernels("cpu") else 1)
    work = gradient_work(PICO, "bf16", "cpu")  # what precision: auto takes here
    assert expected.seconds == pytest.approx(1500 * (work["flops"] * 1e-11 + work["bytes"] * 1e-9 + 4e-3))
    assert expected_time(replace(PICO, device=replace(PICO.device, device_type="cuda")), [], [known]) is None
    finished = expected_time(PICO, [speed_of(PICO, "cpu", 1e4, "pico-001")], [known])
    assert finished is not None and finished.source == "measured"
    whole, half = (replace(PICO, training=replace(PICO.training, batch_size=size)) for size in (16, 8))
    long, short = known.seconds(whole), known.seconds(half)
    assert long is not None and short is not None and 1.9 < long / short < 2.0


def test_costs_are_found_from_readings_and_never_below_nothing() -> None:
    amounts = [{"a": float(i), "b": float(i * i % 7), "c": 1.0} for i in range(1, 9)]
    readings = [(one, 2 * one["a"] + 0.5 * one["b"]) for one in amounts]
    assert costs(readings) == pytest.approx({"a": 2.0, "b": 0.5, "c": 0.0}, abs=1e-9)
    assert min(costs([(one, 3.0 - 0.2 * one["a"]) for one in amounts]).values()) >= 0


def test_a_machine_is_calibrated_once(tmp_path: Path) -> None:
    command = ("estimate", "--set=device_config.device_type=cpu")
    estimated = partial(trickster, *command, TRICKSTER_CACHE_DIR=str(tmp_path))
    first = estimated("--preset", "nano")
    assert first.returncode == 0 and first.stderr.startswith("Timing a few small models")
    if "Other programs use the CPU" in first.stderr:
        pytest.skip("this machine is too busy to be calibrated")
    assert "estimated, from a calibration of this machine" in first.stdout
    again = estimated("--preset", "pico")
    assert again.stderr == "" and "estimated, from a calibration of this machine" in again.stdout
    (known,) = read_calibrations(tmp_path)
    assert known.device == "cpu"
    (tmp_path / CALIBRATION).write_text("{not json")
    assert read_calibrations(tmp_path) == []
