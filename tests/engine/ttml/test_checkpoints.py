"""One checkpoint for all: train on the double, go on on the CPU, and back; with the optimizer's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_backend import batch, opened
from trickster_engine.backends.torch.backend import TorchBackend

PRECISIONS = {"stochastic rounding": {}, "full precision": {"stochastic_rounding": False}}


@pytest.mark.parametrize("layout", [{}, {"fused_qkv": True, "fused_gate_up": True}, {"python_llama": False}])
@pytest.mark.parametrize("variant", PRECISIONS.values(), ids=PRECISIONS.keys())
def test_from_the_board_to_the_cpu(double: Callable[..., Any], variant: dict[str, Any], layout: dict[str, Any]) -> None:
    double(**variant, **layout)
    with opened(plan()) as backend:
        for step in range(12):
            backend.step([batch(seed=step)], 1.0)
        weights, state, random = backend.weights(), backend.optimizer_state(), backend.random_state()
        there = [backend.step([batch(seed=step)], 1.0).loss for step in range(12, 20)]
    on_cpu = TorchBackend(plan(), "cpu", "fp32")
    on_cpu.load(weights, state, random)
    here = [on_cpu.step([batch(seed=step)], 1.0).loss for step in range(12, 20)]
    # The moments came along: without them AdamW's first steps are several times as large.
    np.testing.assert_allclose(here, there, atol=0.1)
    forgetful = TorchBackend(plan(), "cpu", "fp32")
    forgetful.load(weights, {}, random)
    lost = [forgetful.step([batch(seed=step)], 1.0).loss for step in range(12, 20)]
    assert np.abs(np.array(lost) - there).max() > 2 * np.abs(np.array(here) - there).max()


@pytest.mark.parametrize("variant", PRECISIONS.values(), ids=PRECISIONS.keys())
def test_from_the_cpu_to_the_board(double: Callable[..., Any], variant: dict[str, Any]) -> None:
    double(**variant)
    on_cpu = TorchBackend(plan(), "cpu", "fp32")
    for step in range(12):
        on_cpu.step([batch(seed=step)], 1.0)
    weights = {name: array.copy() for name, array in on_cpu.weights().items()}
    state = {name: np.array(array) for name, array in on_cpu.optimizer_state().items()}
    random = on_cpu.random_state()
    here = [on_cpu.step([batch(seed=step)], 1.0).loss for step in range(12, 20)]
    with opened(plan()) as backend:
        backend.load(weights, state, random)
        codes = {code for code, _, _ in backend.notices()}
        assert "optimizer-state-lost" not in codes
        assert "resume-not-bit-for-bit" in codes
        kept = backend.optimizer_state()
        assert {float(array) for key, array in kept.items() if key.startswith("step/")} == {12.0}
        for key in ("exp_avg", "exp_avg_sq"):
            name = f"{key}/model.layers.1.self_attn.k_proj.weight"
            np.testing.assert_allclose(np.asarray(kept[name]), state[name], rtol=2**-7, atol=1e-12)
        there = [backend.step([batch(seed=step)], 1.0).loss for step in range(12, 20)]
    np.testing.assert_allclose(there, here, atol=0.1)


@pytest.mark.parametrize("variant", PRECISIONS.values(), ids=PRECISIONS.keys())
def test_there_and_back_changes_nothing(double: Callable[..., Any], variant: dict[str, Any]) -> None:
    double(**variant)
    with opened(plan()) as backend:
        for step in range(3):
            backend.step([batch(seed=step)], 1.0)
        weights, state, random = backend.weights(), backend.optimizer_state(), backend.random_state()
    with opened(plan()) as backend:
        backend.load(weights, state, random)
        assert all(np.array_equal(array, weights[name]) for name, array in backend.weights().items())
        again = backend.optimizer_state()
        assert again.keys() == state.keys()
        assert all(np.array_equal(again[key], state[key]) for key in state)
        assert np.array_equal(backend.random_state()["ttml"], random["ttml"])


def test_full_precision_goes_on_from_the_loaded_weights(double: Callable[..., Any]) -> None:
    """The optimizer copies the weights when it is made; loading must not be undone by the next step."""
    double(stochastic_rounding=False)
    with opened(plan(weight_decay=0.0)) as backend:
        weights = {name: array + 0.25 for name, array in backend.weights().items()}
        backend.load(weights, {}, {})
        backend.step([batch()], 0.0)
        for name, array in backend.weights().items():
            np.testing.assert_allclose(array, weights[name], atol=2e-3, rtol=2**-8)


def test_a_build_that_hands_out_no_state_says_so(double: Callable[..., Any]) -> None:
    double(state_dict="none")
    with opened(plan()) as backend:
        backend.step([batch()], 1.0)
        backend.notices()
        assert backend.optimizer_state() == {}
        weights, random = backend.weights(), backend.random_state()
        assert [code for code, _, _ in backend.notices()] == ["optimizer-state-not-saved"]
    with opened(plan()) as backend:
        backend.load(weights, {}, random)
        assert "optimizer-state-lost" in [code for code, _, _ in backend.notices()]


def test_a_build_that_takes_no_state_back_says_so(double: Callable[..., Any]) -> None:
    double(state_dict="read-only")
    with opened(plan()) as backend:
        backend.step([batch()], 1.0)
        weights, state, random = backend.weights(), backend.optimizer_state(), backend.random_state()
        assert state
        backend.notices()
        backend.load(weights, state, random)
        told = {code: message for code, message, _ in backend.notices()}
        assert "this ttml cannot load it" in told["optimizer-state-lost"]
        backend.step([batch()], 1.0)
