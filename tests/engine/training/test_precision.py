"""In which number format a run computes, on processors that have bf16 instructions and on those that have not."""

from __future__ import annotations

import platform
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from trickster_engine.backends.torch import backend as torch_backend
from trickster_engine.backends.torch import bf16, muon
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.bench import calibrate as calibrating
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.config.plan import Plan
from trickster_engine.data.batches import TrainingBatches
from trickster_engine.estimates.calibration import Calibration
from trickster_engine.estimates.speeds import expected_time, speed_of

SMALL = {
    "model_config.hidden_dim": "32",
    "model_config.mlp_dim": "64",
    "model_config.num_layers": "1",
    "model_config.max_seq_len": "16",
    "training_config.batch_size": "2",
    "training_config.compile": "never",
    "device_config.device_type": "cpu",
}


def plan(**training: str) -> Plan:
    changed = check(set_values(preset_text("pico"), {**SMALL, **training})).plan
    assert changed is not None
    return changed


def planned(precision: str) -> Plan:
    return plan(**{"training_config.precision": precision})


@pytest.fixture
def no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bf16 instructions."""
    for place in (torch_backend, calibrating):
        monkeypatch.setattr(place, "cpu_emulates_bf16", lambda: True)
    monkeypatch.setattr(torch_backend, "bf16_slowdown", lambda: 40.0)


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not hasattr(torch.cpu, "get_capabilities"),
    reason="asks for x86's features, as newer versions of torch name them",
)
def test_the_timing_agrees_with_what_the_processor_says_of_itself() -> None:
    features = torch.cpu.get_capabilities()
    if features["avx512_bf16"] or features["amx_bf16"]:
        assert not bf16.cpu_emulates_bf16()
    elif not features["avx512_f"]:  # with plain AVX-512 oneDNN converts so quickly that it may be either
        assert bf16.cpu_emulates_bf16()


@pytest.mark.usefixtures("no_bf16")
def test_where_bf16_is_emulated_auto_takes_fp32_without_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(*_: object) -> None:
        pytest.fail("a pass in emulated bf16 can take minutes")

    monkeypatch.setattr(TorchBackend, "_trial_pass", tried)
    backend = TorchBackend(planned("auto"), "cpu")
    assert backend.precision == "fp32"
    assert backend.notices() == []


@pytest.mark.usefixtures("no_bf16")
def test_whoever_asks_for_emulated_bf16_is_told_what_it_costs() -> None:
    backend = TorchBackend(planned("bf16"), "cpu")
    ((code, message, advice),) = backend.notices()
    assert (backend.precision, code) == ("bf16", "bf16-emulated")
    assert "40 times as long" in message and "precision: auto" in advice


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_muon_computes_in_what_the_run_computes_in(
    precision: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[torch.dtype] = set()
    orthogonalize = muon.orthogonalize

    def watched(matrices: Tensor, coefficients: tuple[float, float, float], iterations: int, epsilon: float) -> Tensor:
        seen.add(matrices.dtype)
        directions = orthogonalize(matrices, coefficients, iterations, epsilon)
        seen.add(directions.dtype)
        return directions

    monkeypatch.setattr(muon, "orthogonalize", watched)
    backend = TorchBackend(planned(precision), "cpu")
    tokens = torch.arange(200).numpy()
    backend.step([TrainingBatches(tokens, 16, 2, seed=0).batch(0)], 1.0)
    assert seen == {dtype}


@pytest.mark.usefixtures("no_bf16")
def test_a_calibration_knows_no_times_in_a_format_that_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "PROBES", calibrating.PROBES[:2])
    monkeypatch.setattr(calibrating, "_OWN_SHARE", 0.0)  # other tests may run beside this one
    known: Calibration = calibrating.calibrate("cpu")
    assert set(known.gradients) == {"fp32"}
    auto, fp32, slow = (expected_time(planned(name), [], [known]) for name in ("auto", "fp32", "bf16"))
    assert auto is not None and fp32 is not None and auto.seconds == fp32.seconds > 0
    assert slow is None
    run = speed_of(planned("fp32"), "cpu", 1e4, "small-001")
    assert expected_time(planned("bf16"), [run], [known]) is None
    elsewhere = replace(planned("auto"), device=replace(planned("auto").device, device_type="cuda"))
    assert expected_time(elsewhere, [], [known]) is None
