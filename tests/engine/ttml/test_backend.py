"""The backend on the double, in every variant of a build. None of this says anything about silicon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.ttml.plans import plan
from tests.refusals import refused
from trickster_engine.backends.base import Backend, NonFiniteError
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.config.plan import Plan
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.learning_rate import learning_rate_factor

VARIANTS: dict[str, dict[str, Any]] = {
    "newest": {},
    "fused": {"fused_qkv": True, "fused_gate_up": True},
    "split, wrapped parameters": {"wrapped_parameters": True, "weight_decay_skip_1d": False},
    "no mesh API": {"open_device_mesh": False},
    "no way to close a mesh": {"close_device_mesh": False},
    "C++": {"python_llama": False},
    "C++ under its old names": {"python_llama": False, "cpp_old_names": True, "open_device_mesh": False},
    "full precision": {"stochastic_rounding": False},
    "no remedy for bfloat16": {"stochastic_rounding": False, "full_precision": False},
}


@contextmanager
def opened(a_plan: Plan) -> Iterator[TtmlBackend]:
    backend = TtmlBackend(a_plan, report=lambda _: None)
    try:
        yield backend
    finally:
        backend.close()


def batch(rows: int = 4, length: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A counting text: easy to learn."""
    starts = np.random.default_rng(seed).integers(0, 16, (rows, 1))
    tokens = (starts + np.arange(length + 1)) % 16
    return tokens[:, :-1].astype(np.int64), tokens[:, 1:].astype(np.int64)


def noisy_batch(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A counting text with a third of its tokens replaced: there is always something left to be wrong about."""
    generator = np.random.default_rng(seed)
    tokens = (generator.integers(0, 16, (8, 1)) + np.arange(33)) % 16
    tokens = np.where(generator.random(tokens.shape) < 1 / 3, generator.integers(0, 64, tokens.shape), tokens)
    return tokens[:, :-1].astype(np.int64), tokens[:, 1:].astype(np.int64)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_logits_are_torchs(double: Callable[..., Any], variant: dict[str, Any], tied: bool) -> None:
    double(**variant)
    a_plan = plan({"tie_embeddings": tied})
    weights, tokens = telling_weights(a_plan.model), some_tokens(a_plan.model, 3)
    with opened(a_plan) as backend:
        backend.load(weights, {}, {})
        error = relative_error(backend.logits(tokens), torch_logits(a_plan.model, weights, tokens))
        assert error < TOLERANCE
        # What went in comes out, to bfloat16, under the same names and in the same row order.
        found = backend.weights()
        assert found.keys() == weights.keys()
        for name, array in weights.items():
            np.testing.assert_allclose(found[name], array, rtol=2**-8)


@pytest.mark.parametrize(
    "variant",
    [VARIANTS["newest"], VARIANTS["C++"], VARIANTS["full precision"]],
    ids=["newest", "C++", "full precision"],
)
def test_two_hundred_steps_follow_torch(double: Callable[..., Any], variant: dict[str, Any]) -> None:
    double(**variant)
    a_plan = plan(batch_size=8)

    def losses(backend: Backend) -> np.ndarray:
        return np.array([
            backend.step([noisy_batch(step)], learning_rate_factor(step, a_plan.training)).loss for step in range(200)
        ])  # fmt: skip

    reference = losses(TorchBackend(a_plan, "cpu", "fp32"))
    with opened(a_plan) as backend:
        ours = losses(backend)
    assert abs(reference[0] - math.log(64)) < 0.3
    assert abs(ours[0] - reference[0]) < 0.05
    assert reference[-20:].mean() < 2.3  # from 4.3
    # Smoothed over ten steps, the curves stay together from the first step to the last.
    smooth = np.ones(10) / 10
    difference = np.abs(np.convolve(ours - reference, smooth, "valid"))
    assert difference.max() < 0.03
    assert abs(ours[-20:].mean() - reference[-20:].mean()) < 0.01


def test_accumulation_is_the_same_as_a_larger_batch(double: Callable[..., Any]) -> None:
    double()
    x, y = batch(rows=8)
    with opened(plan(batch_size=8)) as backend:
        whole = backend.step([(x, y)], 1.0)
        expected = backend.weights()
    with opened(plan(gradient_accumulation_steps=2)) as backend:
        halves = backend.step([(x[:4], y[:4]), (x[4:], y[4:])], 1.0)
        found = backend.weights()
    assert halves.loss == pytest.approx(whole.loss, abs=0.03)
    assert halves.grad_norm == pytest.approx(whole.grad_norm, rel=0.02)
    close = [np.mean(np.abs(found[name] - expected[name]) < 1e-3) for name in expected]
    assert min(close) > 0.9


def test_the_norm_is_the_one_before_clipping_and_clipping_holds(double: Callable[..., Any]) -> None:
    double()
    with opened(plan(grad_clip=0.01)) as backend:
        clipped = backend.step([batch()], 1.0)
    with opened(plan(grad_clip=0)) as backend:
        free = backend.step([batch()], 1.0)
    assert clipped.grad_norm == pytest.approx(free.grad_norm, rel=0.01)
    assert free.grad_norm > 0.1


def test_a_build_without_clipping(double: Callable[..., Any]) -> None:
    double(clip_grad_norm=False)
    with refused("ttml-cannot-clip") as caught:
        TtmlBackend(plan())
    assert "grad_clip: 0" in caught.value.advice
    with opened(plan(grad_clip=0)) as backend:
        without = backend.step([batch()], 1.0).grad_norm
    double()
    with opened(plan(grad_clip=0)) as backend:
        assert without == pytest.approx(backend.step([batch()], 1.0).grad_norm, rel=0.01)


def test_evaluation_is_exact_and_leaves_nothing_behind(double: Callable[..., Any]) -> None:
    ttml = double()
    a_plan = plan({"dropout": 0.5})
    weights = telling_weights(a_plan.model)
    with opened(a_plan) as backend:
        backend.load(weights, {}, {})
        x, y = batch(rows=7, seed=3)
        short = (x[:1, :5], y[:1, :5])
        found = backend.evaluate([(x, y), short])
        logits = torch.from_numpy(backend.logits(x))
        losses = [
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(y).flatten(), reduction="sum")
        ]
        short_logits = torch.from_numpy(backend.logits(short[0])).flatten(0, 1)
        losses.append(
            torch.nn.functional.cross_entropy(short_logits, torch.from_numpy(short[1]).flatten(), reduction="sum")
        )
        assert found == pytest.approx(float(sum(losses)) / (y.size + 5), abs=1e-5)
        assert found == backend.evaluate([(x, y), short])  # no dropout
        assert ttml.autograd.AutoContext.get_instance().nodes == 0


def test_the_graph_is_dropped_after_every_micro_batch(double: Callable[..., Any]) -> None:
    ttml = double()
    context = ttml.autograd.AutoContext.get_instance()
    with opened(plan(gradient_accumulation_steps=2)) as backend:
        once = context.most_nodes
        for _ in range(3):
            backend.step([batch(), batch(seed=1)], 1.0)
            assert context.nodes == 0
        assert context.most_nodes == once


def test_dropout_acts_in_training_only(double: Callable[..., Any]) -> None:
    double()
    x, y = batch()
    a_plan = plan({"dropout": 0.6}, grad_clip=0)
    with opened(a_plan) as backend:
        backend.load(telling_weights(a_plan.model), {}, {})
        losses = {backend.step([(x, y)], 0.0).loss for _ in range(4)}
        assert len(losses) > 1
        assert backend.evaluate([(x, y)]) == backend.evaluate([(x, y)])


def test_gammas_move_where_the_build_can_and_stay_where_it_cannot(double: Callable[..., Any]) -> None:
    moved = {}
    for name in ("newest", "full precision", "no remedy for bfloat16"):
        double(**VARIANTS[name])
        with opened(plan(learning_rate=3e-4, weight_decay=0.0)) as backend:
            codes = {code for code, _, _ in backend.notices()}
            for step in range(30):
                backend.step([batch(seed=step)], 1.0)
            moved[name] = not np.array_equal(backend.weights()["model.norm.weight"], np.ones(128, dtype=np.float32))
            assert ("ttml-norms-frozen" in codes) == (name == "no remedy for bfloat16")
    assert moved == {"newest": True, "full precision": True, "no remedy for bfloat16": False}


def test_the_rate_is_set_before_the_step(double: Callable[..., Any]) -> None:
    double()
    with opened(plan(weight_decay=0.0)) as backend:
        before = backend.weights()
        backend.step([batch()], 0.0)
        after = backend.weights()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["Muon", "MuonComposite"])
def test_muon(double: Callable[..., Any], kind: str) -> None:
    double(muon=kind)
    with opened(plan(optimizer="muon")) as backend:
        assert "ttml-muon-partly" in {code for code, _, _ in backend.notices()}
        losses = [backend.step([batch(seed=step)], 1.0).loss for step in range(40)]
        state = backend.optimizer_state()
        assert "momentum_buffer/model.layers.0.mlp.down_proj.weight" in state
        assert "exp_avg/model.layers.0.self_attn.k_proj.weight" in state
        weights = backend.weights()
        backend.load(weights, state, backend.random_state())
        assert "optimizer-state-lost" not in {code for code, _, _ in backend.notices()}
        kept = backend.optimizer_state()
        assert all(np.array_equal(kept[key], state[key]) for key in state)
    assert losses[-1] < losses[0] - 1.0


def test_muon_is_refused_where_it_is_not(double: Callable[..., Any]) -> None:
    double(muon="")
    with refused("ttml-incomplete", "Muon"):
        TtmlBackend(plan(optimizer="muon"))


def test_every_start_is_torchs_start(double: Callable[..., Any]) -> None:
    double()
    expected = TorchBackend(plan(), "cpu", "fp32").weights()
    with opened(plan()) as backend:
        found = backend.weights()
        host = backend.sampling_model()
        with torch.no_grad():
            logits = host(torch.from_numpy(batch()[0]))
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=2**-8)
    assert logits.shape == (4, 32, 64)


def test_the_sampling_model_follows_the_training(double: Callable[..., Any]) -> None:
    double()
    with opened(plan()) as backend:
        first = backend.sampling_model().state_dict()["model.norm.weight"].clone()
        assert backend.sampling_model() is backend.sampling_model()
        for step in range(3):
            backend.step([batch(seed=step)], 1.0)
        assert not torch.equal(backend.sampling_model().state_dict()["model.norm.weight"], first)


def test_a_loss_that_is_not_finite_stops_before_the_update(double: Callable[..., Any]) -> None:
    double(nan_at_loss=3)  # the first is the warm-up's
    with opened(plan()) as backend:
        backend.step([batch()], 1.0)
        before = backend.weights()
        with pytest.raises(NonFiniteError):
            backend.step([batch()], 1.0)
        after = backend.weights()
        assert all(np.array_equal(before[name], after[name]) for name in before)
        assert math.isfinite(backend.step([batch()], 1.0).grad_norm)


def test_tokens_beyond_the_vocabulary_are_refused_on_the_host(double: Callable[..., Any]) -> None:
    double()
    x, y = batch()
    x[0, 0] = 64
    with opened(plan()) as backend, refused("token-out-of-range", "64"):
        backend.step([(x, y)], 1.0)


def test_compiling_is_done_and_told_before_the_first_step(double: Callable[..., Any]) -> None:
    import time

    double(first_step_seconds=0.3)
    told: list[str] = []
    backend = TtmlBackend(plan(), report=told.append)
    try:
        began = time.perf_counter()
        backend.step([batch()], 1.0)
        seconds = time.perf_counter() - began
    finally:
        backend.close()
    assert any("Compiling" in line for line in told)
    ready = next(line for line in told if "ready after" in line)
    assert float(ready.split("ready after ")[1].split(" s")[0]) >= 0.6  # forward and loss, each compiled once
    assert seconds < 0.6


def test_a_simulator_is_not_passed_off_as_a_board(
    double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double()
    monkeypatch.setenv("TT_METAL_SIMULATOR", str(tmp_path / "libttsim_wh.so"))
    with pytest.raises(TricksterError) as refused:
        TtmlBackend(plan())
    assert refused.value.code == "simulator-missing"
    (tmp_path / "libttsim_wh.so").touch()
    (tmp_path / "soc_descriptor.yaml").touch()
    monkeypatch.setenv("TT_METAL_DISABLE_SFPLOADMACRO", "1")
    with opened(plan()) as backend:
        assert backend.device.endswith(", simulated by ttsim")
        assert any(code == "not-a-board" for code, _, _ in backend.notices())
        assert backend.notices() == []
