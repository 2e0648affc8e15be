"""Compiled blocks: the same run, resumed exactly; and a machine that cannot compile trains all the same."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.training.reading import read_checkpoint
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_resume import begin, same_checkpoint
from trickster_engine.config import check, preset_plan
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.compute import (
    WORTH_COMPILING_FROM,
    count_compute,
    worth_compiling,
    worth_compiling_blocks,
)
from trickster_engine.runs import read_events
from trickster_engine.training.start import resume

Config = Callable[..., Path]


@pytest.mark.skipif(shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler")
def test_a_compiled_run_learns_the_same_and_resumes_exactly(tiny_config: Config) -> None:
    path = tiny_config(training_config={"compile": "always", "precision": "fp32"}, model_config={"dropout": 0.1})
    straight, outcome = begin(path)
    assert outcome == "finished"
    with stopped_after(4):
        broken, outcome = begin(path)
    assert outcome == "stopped"
    assert resume(broken, show_progress=False) == "finished"
    same_checkpoint(straight.path / "checkpoints/step-000012", broken.path / "checkpoints/step-000012")
    state = read_checkpoint(straight.path / "checkpoints/step-000012").state
    assert state.compiled

    # Without dropout, for which the kernels draw other numbers.
    losses = []
    for word in ("always", "never"):
        plain, _ = begin(
            tiny_config(training_config={"compile": word, "precision": "fp32"}, model_config={"dropout": 0.0})
        )
        other = read_checkpoint(plain.path / "checkpoints/step-000012").state
        assert other.compiled is (word == "always")
        losses.append(other.val_loss)
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)

    # Asked for or given up in the middle of a run, it is done.
    for run, word in ((plain, "always"), (straight, "never")):
        resume(run, {"training_config.compile": word, "training_config.max_steps": "14"}, show_progress=False)
        assert read_checkpoint(run.path / "checkpoints/step-000014").state.compiled is (word == "always")
        assert f'compile: "{word}"' in run.config_path.read_text() or f"compile: {word}" in run.config_path.read_text()


def test_without_a_compiler_training_goes_on(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/nowhere/c++"))
    path = tiny_config(training_config={"compile": "always"}, model_config={"hidden_dim": 48, "num_heads": 2})
    run, outcome = begin(path)
    assert outcome == "finished"
    events, _ = read_events(run.events_path)
    assert [event["code"] for event in events if event["kind"] == "warning"] == ["not-compiled"]
    assert not read_checkpoint(run.path / "checkpoints/step-000012").state.compiled

    plain, _ = begin(tiny_config(training_config={"compile": "never"}, model_config={"hidden_dim": 48, "num_heads": 2}))
    text = plain.config_path.read_text()
    with pytest.raises(TricksterError) as caught:
        resume(plain, {"training_config.compile": "always", "training_config.max_steps": "14"}, show_progress=False)
    assert caught.value.code == "change-not-done"
    assert "training_config.compile" in caught.value.message
    assert plain.config_path.read_text() == text


def test_auto_compiles_where_the_run_is_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pico, nano = preset_plan("pico"), preset_plan("nano")
    assert worth_compiling(nano, "cpu")
    assert not worth_compiling(nano, "mps")
    assert worth_compiling(pico, "cpu") is (sys.platform == "linux")
    assert not worth_compiling_blocks(pico, "cpu")
    assert worth_compiling_blocks(nano, "cpu")
    assert count_compute(pico).total < WORTH_COMPILING_FROM["cpu"] < count_compute(nano).total
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not worth_compiling(pico, "cpu")
    assert worth_compiling(nano, "cpu")
    result = check("training_config:\n  compile: sometimes\n")
    assert result.plan is None and [problem.code for problem in result.problems if problem.severity == "error"]
