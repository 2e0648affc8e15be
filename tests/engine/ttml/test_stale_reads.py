"""Builds that hand out an old copy of what they have updated: it is never read, and where it is, the run stops."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_backend import batch, opened
from tests.engine.ttml.test_runs import Workplace
from trickster_engine.backends.ttml import tensors
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, torch_logits
from trickster_engine.errors import EXIT_TRAINING_FAILED
from trickster_engine.model.huggingface import read_model

STALE = {"stale_full_view": True}
BUILDS: dict[str, dict[str, Any]] = {
    "stale": STALE,
    "stale, full precision": {**STALE, "stochastic_rounding": False},
    "stale, C++": {**STALE, "python_llama": False},
    "native": {"native_precision": True},
    "native, full precision": {"native_precision": True, "stochastic_rounding": False},
}


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def old_reading(tensors: Any, tensor: Any, *, full_precision: bool = False) -> Any:
    """How weights were read before: the view that `to_numpy` shows when it is asked for nothing."""
    more = {"composer": tensors._gather()} if tensors._chips > 1 else {}
    return np.asarray(tensor.to_numpy(sys.modules["ttnn"].DataType.FLOAT32, **more), dtype=np.float32)


def trained(backend: TtmlBackend, steps: range) -> list[float]:
    return [backend.step([batch(seed=step)], 1.0).loss for step in steps]


def test_the_double_is_stale_where_it_says_so(double: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before, on this build: the loss falls, and every later read gives the first one's values."""
    double(**STALE)
    with opened(plan()) as backend:
        monkeypatch.setattr(tensors.TtmlTensors, "download", old_reading)
        before = backend.weights()
        losses = trained(backend, range(30))
        after = backend.weights()
        assert losses[-1] < losses[0] - 1.0
        assert all(np.array_equal(before[name], after[name]) for name in before)
        monkeypatch.undo()
        now = backend.weights()
        assert all(not np.array_equal(before[name], now[name]) for name in before if "norm" not in name)
        # The type that the tensor states is the view's, too.
        moment = backend._live_optimizer._parts[0][0].get_state_dict()["exp_avg"]
        tensor = next(iter(moment.values()))
        types = sys.modules["ttnn"].DataType
        assert tensor.dtype() is types.FLOAT32
        assert tensor.get_value(sys.modules["ttml"].autograd.PreferredPrecision.HALF).dtype is types.BFLOAT16


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
def test_what_is_read_is_what_computes(double: Callable[..., Any], build: dict[str, Any]) -> None:
    double(**build)
    a_plan = plan()
    tokens = some_tokens(a_plan.model, 2)
    with opened(a_plan) as backend:
        seen = [backend.weights()]
        for first in (0, 8):
            trained(backend, range(first, first + 8))
            seen.append(backend.weights())
            error = relative_error(backend.logits(tokens), torch_logits(a_plan.model, seen[-1], tokens))
            assert error < TOLERANCE
            moved = [name for name in seen[-1] if not np.array_equal(seen[-1][name], seen[-2][name])]
            assert len(moved) > len(seen[-1]) // 2
        states = [backend.optimizer_state()]
        trained(backend, range(16, 17))
        states.append(backend.optimizer_state())
        assert all(
            not np.array_equal(states[0][key], states[1][key])
            for key in states[0]
            if "exp_avg/" in key or "step/" in key
        )


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS.keys())
def test_moments_go_back_in_the_type_they_had(double: Callable[..., Any], build: dict[str, Any]) -> None:
    double(**build)
    with opened(plan()) as backend:
        trained(backend, range(6))
        weights, state, random = backend.weights(), backend.optimizer_state(), backend.random_state()
        there = trained(backend, range(6, 12))
        backend.load(weights, state, random)
        assert "optimizer-state-lost" not in {code for code, _, _ in backend.notices()}
        kept = backend.optimizer_state()
        assert all(np.array_equal(kept[key], state[key]) for key in state)
        again = trained(backend, range(6, 12))  # a kernel that insists on its types would refuse the first of them
    np.testing.assert_allclose(again, there, atol=0.1)


@pytest.mark.parametrize("build", [STALE, {**STALE, "stochastic_rounding": False}], ids=["fused", "full precision"])
def test_a_run_on_a_stale_build_saves_what_it_trained(workplace: Workplace, build: dict[str, Any]) -> None:
    code, said = workplace.run(
        "train", "run.yaml", "--set", "training_config.max_steps=40", "--set", "training_config.learning_rate=0.01",
        "--set", "training_config.keep_best_n=9", **build,
    )  # fmt: skip
    assert code == 0, said
    folders = sorted((workplace.path / "checkpoints").glob("step-*"))
    kept = [read_model(folder)[1] for folder in folders]
    assert len(kept) >= 3
    for before, after in itertools.pairwise(kept):
        assert not np.array_equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    samples = [event["text"] for event in workplace.events("sample")]
    assert len(set(samples)) > len(samples) // 2
    # The model that was saved, evaluated by torch, has the loss that the device had.
    told = workplace.events("eval")[-1]["val_loss"]
    still = ("device_config.device_type=cpu", "training_config.max_steps=41", "training_config.eval_interval=41",
             "training_config.learning_rate=1e-9", "training_config.min_learning_rate=1e-10")  # fmt: skip
    code, said = workplace.run("resume", str(workplace.path), *(word for each in still for word in ("--set", each)))
    assert code == 0, said
    assert workplace.events("eval")[-1]["val_loss"] == pytest.approx(told, rel=0.02)
    assert told < workplace.events("eval")[0]["val_loss"] - 1.0


def test_a_run_that_reads_old_weights_all_the_same_stops(workplace: Workplace) -> None:
    code, said = workplace.run("train", "run.yaml", mistake="stale_reads")
    assert code == EXIT_TRAINING_FAILED, said
    error = workplace.events("error")[-1]
    assert error["code"] == "weights-not-moving"
    assert "doctor --self-test" in error["advice"]
    # What would have been a lie is not there, and nothing will put it there.
    folder = workplace.path / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["step-000006"]
    assert workplace.board() == "closed"
    assert json.loads((workplace.path / "latest.json").read_text())["step"] == 6
    # Going on from there on a device that is sound works.
    code, said = workplace.run("resume", str(workplace.path), "--set", "device_config.device_type=cpu")
    assert code == 0, said
