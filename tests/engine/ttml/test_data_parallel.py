"""Several chips of the double: the same updates as one, copies that stay equal, and the traps that are known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_backend import batch, opened
from tests.refusals import refused
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits


@pytest.fixture(autouse=True)
def wired(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, double: object) -> None:
    path = tmp_path / "mesh.textproto"
    path.write_text("mesh_descriptors {\n device_topology { dims: [ 1, 4 ] dim_types: [ RING, RING ] }\n}\n")
    monkeypatch.setenv("TT_MESH_GRAPH_DESC_PATH", str(path))


@pytest.mark.parametrize("variant", [{}, {"open_device_mesh": False}, {"python_llama": False}])
def test_four_chips_do_what_one_does(double: Callable[..., Any], variant: dict[str, Any]) -> None:
    x, y = batch(rows=8)

    def train(chips: int) -> tuple[list[float], list[float], dict[str, np.ndarray], float]:
        with opened(plan(chips=chips, batch_size=8)) as backend:
            results = [backend.step([(x, y)], 1.0) for _ in range(4)]
            loss = backend.evaluate([(x, y), (x[:3, :9], y[:3, :9])])
            return [r.loss for r in results], [r.grad_norm for r in results], backend.weights(), loss

    double(chips=4, stochastic_rounding=False, **variant)
    losses, norms, weights, evaluated = train(4)
    double(stochastic_rounding=False, **variant)
    one_losses, one_norms, one_weights, one_evaluated = train(1)
    np.testing.assert_allclose(losses, one_losses, atol=0.03)
    np.testing.assert_allclose(norms, one_norms, rtol=0.03)
    assert evaluated == pytest.approx(one_evaluated, abs=0.02)
    for name, array in weights.items():
        assert np.mean(np.abs(array - one_weights[name])) < 2e-3


def test_copies_stay_equal(double: Callable[..., Any]) -> None:
    double(chips=4)
    with opened(plan(chips=4, batch_size=8)) as backend:
        assert "AdamWFullPrecision" in backend._live_optimizer.names  # every chip rounds for itself otherwise
        for step in range(4):
            backend.step([batch(rows=8, seed=step)], 1.0)
        for _, tensor in backend._live_model.native_parameters().items():
            parts = tensor._value.parts
            assert all(bool((part == parts[0]).all()) for part in parts)


def test_logits_of_a_mesh_are_torchs(double: Callable[..., Any]) -> None:
    double(chips=4)
    a_plan = plan(chips=4, batch_size=8)
    weights, tokens = telling_weights(a_plan.model), some_tokens(a_plan.model, 5)
    with opened(a_plan) as backend:
        backend.load(weights, {}, {})
        assert relative_error(backend.logits(tokens), torch_logits(a_plan.model, weights, tokens)) < TOLERANCE


def test_without_the_parallel_context_copies_would_drift_so_it_is_refused(double: Callable[..., Any]) -> None:
    double(chips=4, parallelism_context=False)
    with refused("ttml-incomplete", "initialize_parallelism_context"):
        TtmlBackend(plan(chips=4, batch_size=8))


def test_a_context_of_another_size_is_noticed(double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    double(chips=4)
    monkeypatch.setattr(sys.modules["ttml._runtime"].ParallelismContext, "get_ddp_size", lambda self: 2)
    with refused("ddp-not-active"):
        TtmlBackend(plan(chips=4, batch_size=8))


def test_random_rounding_on_several_chips_is_told(double: Callable[..., Any]) -> None:
    double(chips=4, full_precision=False)
    with opened(plan(chips=4, batch_size=8)) as backend:
        assert "ttml-copies-drift" in {code for code, _, _ in backend.notices()}


def test_more_chips_than_there_are(double: Callable[..., Any]) -> None:
    double(chips=2)
    with refused("device-not-opened", "4 devices asked for, 2 are there"):
        TtmlBackend(plan(chips=4, batch_size=8))


@pytest.mark.parametrize("once", [False, True], ids=["every chip's copy", "one copy"])
def test_copies_come_back_once_or_from_every_chip(double: Callable[..., Any], once: bool) -> None:
    double(chips=4, replicated_once=once)
    a_plan = plan(chips=4, batch_size=8)
    weights, tokens = telling_weights(a_plan.model), some_tokens(a_plan.model, 5)
    with opened(a_plan) as backend:
        backend.load(weights, {}, {})
        found = backend.weights()
        assert all(np.allclose(found[name], weights[name], rtol=2**-8) for name in weights)
        assert relative_error(backend.logits(tokens), torch_logits(a_plan.model, weights, tokens)) < TOLERANCE
        backend.step([batch(rows=8)], 1.0)
        assert backend.optimizer_state()
