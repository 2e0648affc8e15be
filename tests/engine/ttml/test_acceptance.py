"""The self-test passes on every sound build of the double, and finds each planted fault by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.conftest import BUILD, DOUBLE
from trickster_engine.cli import main
from trickster_engine.doctor.acceptance import SIMULATED_PLAN, Acceptance
from trickster_engine.doctor.self_test import acceptance, run_self_test
from trickster_engine.errors import TricksterError

NAMES = [
    "open", "weights", "logits", "loss", "gradient", "rate", "fresh reads", "update", "trained weights", "training",
    "checkpoint", "resume",
]  # fmt: skip

#: What is wrong with the double -> the check that is there to find it.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "it does not open": ({"fail_at": "open:1"}, "open"),
    "weights that are sent are lost": ({"mistake": "assign_lost"}, "weights"),
    "rotary halves": ({"mistake": "split_half_rope"}, "logits"),
    "values before keys": ({"mistake": "v_before_k"}, "logits"),
    "gate and up change places": ({"mistake": "gate_up_swapped"}, "logits"),
    "key/value heads are tiled": ({"mistake": "tiled_gqa"}, "logits"),
    "the loss is another": ({"mistake": "loss_scaled"}, "loss"),
    "gradients are halved": ({"mistake": "gradients_halved"}, "gradient"),
    "gradients are not forgotten": ({"mistake": "gradients_kept"}, "gradient"),
    "the rate is not heeded": ({"mistake": "rate_ignored"}, "rate"),
    "reads give the first values": ({"mistake": "stale_reads"}, "fresh reads"),
    "updates are lost": ({"mistake": "step_lost"}, "fresh reads"),
    "updates go uphill": ({"mistake": "uphill"}, "update"),
    "another optimizer": ({"mistake": "wrong_beta"}, "update"),
    "the loss is not a number": ({"nan_at_loss": 8}, "trained weights"),
    "the optimizer's memory is not taken": ({"state_dict": "read-only"}, "checkpoint"),
    "the optimizer's memory is dropped": ({"mistake": "state_lost"}, "checkpoint"),
    "the optimizer's memory is not used": ({"mistake": "state_unused"}, "resume"),
}
#: Faults of which nothing else shows: exactly this check fails.
ALONE = ("rotary halves", "gradients are halved", "gradients are not forgotten", "the optimizer's memory is not used")


def failing(plan: Any) -> list[str]:
    trial = Acceptance(plan, lambda _: None)
    try:
        checks = trial.run()
    finally:
        trial.close()
    assert checks[0].passed is False or [check.name for check in checks] == NAMES
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize(
    "variant", [{"stale_full_view": True}, {"stochastic_rounding": False}, {"muon": "", "full_precision": False}]
)
def test_a_sound_build_passes_the_smaller_trial(double: Callable[..., Any], variant: dict[str, Any]) -> None:
    double(**variant)
    assert failing(SIMULATED_PLAN) == []


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.replace(" ", "-") for fault in FAULTS])
def test_every_fault_is_found_by_name(double: Callable[..., Any], fault: str) -> None:
    variant, name = FAULTS[fault]
    double(**variant)
    found = failing(SIMULATED_PLAN)  # the smaller one must find them all
    assert name in found
    # What comes before it, and does not depend on what is broken, passes: the name says where to look.
    assert fault in ("the rate is not heeded",) or found[0] == name
    if fault in ALONE:
        assert found == [name]


def test_each_check_is_needed() -> None:
    assert {name for _, name in FAULTS.values()} | {"training"} == set(NAMES)


def test_a_curve_that_leaves_torchs_is_found(double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The device stops to learn in the middle of training: what was tried before knows nothing of it."""
    double()
    optimizers = sys.modules["ttml.optimizers"]
    honest, counts = optimizers.AdamW.step, {"steps": 0}

    def tired(self: Any) -> None:
        counts["steps"] += 1
        if counts["steps"] < 11:  # those of every check before `training`, and its first ones
            honest(self)

    monkeypatch.setattr(optimizers.AdamW, "step", tired)
    assert failing(SIMULATED_PLAN)[0] == "training"


@pytest.mark.parametrize(
    "variant",
    [
        {}, {"stale_full_view": True, "python_llama": False},
        {"native_precision": True, "fused_qkv": True, "fused_gate_up": True, "stochastic_rounding": False},
    ],
)  # fmt: skip
def test_a_sound_build_passes_and_proves_nothing(double: Callable[..., Any], variant: dict[str, Any]) -> None:
    double(**variant)
    result = acceptance(lambda _: None)
    assert [(check.name, check.passed) for check in result.checks] == [(name, True) for name in NAMES]
    assert result.passed and not result.silicon
    assert "proves nothing" in result.remark


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library by its name, with what must lie beside it."""
    library = tmp_path / "sim" / "libttsim_wh.so"
    library.parent.mkdir()
    library.write_bytes(b"not a library")
    (library.parent / "soc_descriptor.yaml").write_text("grid: {}\n")
    monkeypatch.setenv("TT_METAL_SIMULATOR", str(library))
    monkeypatch.setenv("TT_METAL_DISABLE_SFPLOADMACRO", "1")
    return library


def test_a_simulated_chip_is_tried_with_less(double: Callable[..., Any], simulator: Path) -> None:
    double()
    result = acceptance(lambda _: None)
    assert result.passed and not result.silicon
    assert "simulated by ttsim is open" in result.checks[0].message
    assert len(result.checks[-1].figures["losses"]) == 2
    assert result.machine["simulator"]["name"] == simulator.name
    assert len(result.machine["simulator"]["sha256"]) == 64


def test_the_command_tries_a_simulated_chip_and_writes_a_report(
    simulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE / "packages"))
    monkeypatch.setenv("TTML_DOUBLE", json.dumps(BUILD))
    monkeypatch.delenv("TT_METAL_DISABLE_SFPLOADMACRO")  # is set for it
    report = tmp_path / "report.json"
    assert main(["doctor", "--self-test", "--simulated", "--report", str(report)]) == 0
    said = capsys.readouterr().out
    assert "All passed." in said and "on a simulated chip and not on a board" in said
    assert "tt-smi" not in said
    kept = json.loads(report.read_text())
    assert kept["machine"]["simulated"] == "Tenstorrent wormhole_b0, simulated by ttsim"
    assert str(simulator.parent) not in report.read_text()  # fit to be attached: no path of this machine


def test_without_a_simulator_the_command_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Path
) -> None:
    (simulator.parent / "soc_descriptor.yaml").unlink()
    with pytest.raises(TricksterError) as refused:
        run_self_test(tmp_path / "report.json", simulated=True)
    assert refused.value.code == "simulator-descriptor-missing"
    assert "wormhole_b0_80_arch.yaml" in refused.value.advice
    simulator.unlink()
    with pytest.raises(TricksterError) as refused:
        run_self_test(tmp_path / "report.json", simulated=True)
    assert refused.value.code == "simulator-missing"
    monkeypatch.delenv("TT_METAL_SIMULATOR")
    with pytest.raises(TricksterError) as refused:
        run_self_test(tmp_path / "report.json", simulated=True)
    assert refused.value.code == "simulator-not-set"
    assert not (tmp_path / "report.json").exists()


def test_a_simulated_chip_that_takes_too_long_is_not_told_to_be_reset(
    simulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE / "packages"))
    monkeypatch.setenv("TTML_DOUBLE", json.dumps({**BUILD, "hang_at": "forward:1", "hang_seconds": 120}))
    result = run_self_test(tmp_path / "report.json", limit=5.0, simulated=True)
    assert "did not finish within 5 s" in result.checks[-1].message
    assert "tt-smi" not in result.as_text()
