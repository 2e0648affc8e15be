"""Work is never lost: exact resume, kill -9 at any moment, damaged checkpoints."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.engine.conftest import trickster
from tests.engine.training.reading import read_checkpoint
from tests.engine.training.stopping import stopped_after, stopped_in_evaluation
from tests.refusals import refused
from trickster_engine.config import check
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import verify
from trickster_engine.runs import RunDirectory, RunLock, read_events
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.start import resume, start

Config = Callable[..., Path]


def checkpoint_store(run: RunDirectory) -> CheckpointStore:
    return CheckpointStore(run.checkpoints_folder(), run.path, 2, run_uid=run.uid())


def begin(path: Path) -> tuple[RunDirectory, str]:
    plan = check(path.read_text(), path.parent).plan
    assert plan is not None
    return start(path, path.read_text(), plan, show_progress=False)


def same_checkpoint(first: Path, second: Path) -> None:
    for name in ("model.safetensors", "trainer/optimizer.safetensors", "trainer/random.safetensors"):
        ours, theirs = load_file(first / name), load_file(second / name)
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            assert np.array_equal(array, theirs[key]), f"{name}: {key}"


def last_samples(run: RunDirectory) -> dict[int, str]:
    events, _ = read_events(run.events_path)
    return {event["step"]: event["text"] for event in events if event["kind"] == "sample"}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_stopped_and_resumed_run_is_the_same_run(tiny_config: Config, optimizer: str, stop: int) -> None:
    path = tiny_config(training_config={"optimizer": optimizer})
    straight, outcome = begin(path)
    assert outcome == "finished"
    with stopped_after(stop):
        broken, outcome = begin(path)
    assert outcome == "stopped"
    assert broken.summary().step == stop
    assert resume(broken, show_progress=False) == "finished"
    same_checkpoint(straight.path / "checkpoints/step-000012", broken.path / "checkpoints/step-000012")
    assert last_samples(straight) == last_samples(broken)
    assert json.loads((straight.path / "best.json").read_text()) == json.loads((broken.path / "best.json").read_text())


def test_without_the_random_state_a_resumed_run_is_another_run(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above would be worth little if it passed with the state of dropout left out."""
    path = tiny_config()
    straight, _ = begin(path)
    with stopped_after(5):
        broken, _ = begin(path)
    newest = CheckpointStore.newest

    def forgetful(self: CheckpointStore) -> object:
        checkpoint = newest(self)
        assert checkpoint is not None
        return replace(checkpoint, random_state={})

    monkeypatch.setattr(CheckpointStore, "newest", forgetful)
    resume(broken, show_progress=False)
    with pytest.raises(AssertionError):
        same_checkpoint(straight.path / "checkpoints/step-000012", broken.path / "checkpoints/step-000012")


def test_a_stop_in_mid_evaluation_saves_and_the_evaluation_is_made_up_for(tiny_config: Config) -> None:
    path = tiny_config()
    straight, _ = begin(path)
    with stopped_in_evaluation(3):  # the first half of the evaluation at step 4
        broken, outcome = begin(path)
    assert outcome == "stopped"
    assert broken.summary().step == 4
    assert resume(broken, show_progress=False) == "finished"
    steps = [event["step"] for event in read_events(broken.events_path)[0] if event["kind"] == "eval"]
    assert steps == [0, 4, 8, 12]
    same_checkpoint(straight.path / "checkpoints/step-000012", broken.path / "checkpoints/step-000012")


def test_more_steps_can_be_asked_for_when_resuming(tiny_config: Config) -> None:
    run, _ = begin(tiny_config())
    before = run.config_path.read_text()
    assert resume(run, {"training_config.max_steps": "20"}, show_progress=False) == "finished"
    assert run.summary().step == 20
    assert "max_steps: 20" in run.config_path.read_text()
    assert (run.path / "config-until-step-12.yaml").read_text() == before


def test_the_model_cannot_be_changed_when_resuming(tiny_config: Config) -> None:
    run, _ = begin(tiny_config())
    with pytest.raises(TricksterError) as caught:
        resume(run, {"model_config.hidden_dim": "64"}, show_progress=False)
    assert caught.value.code == "fixed-for-the-run"
    assert "hidden_dim: 32" in run.config_path.read_text()


def test_changed_text_is_noticed(tiny_config: Config, corpus: Path) -> None:
    run, _ = begin(tiny_config())
    corpus.write_text(corpus.read_text().replace("king", "queen"))
    with pytest.raises(TricksterError) as caught:
        resume(run, {"training_config.max_steps": "20"}, show_progress=False)
    assert caught.value.code == "data-changed"


def test_two_trainers_never_share_a_run(tiny_config: Config) -> None:
    run, _ = begin(tiny_config())
    with RunLock(run.path):
        assert run.is_live()
        answer = trickster("resume", run.path, "--set", "training_config.max_steps=20")
    assert answer.returncode == 1
    assert "is being trained by process" in answer.stderr
    assert not run.is_live()


def test_a_damaged_checkpoint_is_passed_over(tiny_config: Config) -> None:
    """The newest whole one is found without trusting any pointer."""
    run, _ = begin(tiny_config())
    folders = sorted((run.path / "checkpoints").iterdir())
    weights = folders[-1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (run.path / "latest.json").write_text('{"path": "checkpoints/step-999999"}')
    newest = checkpoint_store(run).newest()
    assert newest is not None and newest.path == folders[-2]
    assert resume(run, show_progress=False) == "finished"
    assert verify(run.path / "checkpoints" / "step-000012").step == 12


def test_a_checkpoint_cut_short_anywhere_is_refused(tiny_config: Config, tmp_path: Path) -> None:
    run, _ = begin(tiny_config())
    whole = run.path / "checkpoints" / "step-000012"
    chooser = random.Random(5)
    for file in sorted(path for path in whole.rglob("*") if path.is_file()):
        size = file.stat().st_size
        for length in {0, 1, size - 1, *(chooser.randrange(size) for _ in range(12))}:
            copy = tmp_path / "copy"
            shutil.copytree(whole, copy)
            with (copy / file.relative_to(whole)).open("rb+") as cut:
                cut.truncate(length)
            with pytest.raises(TricksterError) as caught:
                read_checkpoint(copy)
            assert caught.value.code == "checkpoint-damaged", (file.name, length)
            shutil.rmtree(copy)


def test_a_flipped_bit_is_noticed(tiny_config: Config) -> None:
    run, _ = begin(tiny_config())
    weights = run.path / "checkpoints" / "step-000012" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    with refused("checkpoint-damaged", "model.safetensors"):
        read_checkpoint(weights.parent)


class TrainerHost:
    """See `trainer_host.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.training.trainer_host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def train(self, run: Path, config: Path | None = None, kill_after: float | None = None) -> int:
        assert self._process.stdin
        assert self._process.stdout
        command = {"config": config and str(config), "run": str(run), "kill_after": kill_after}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return int(json.loads(self._process.stdout.readline())["code"])

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)


def test_kill_nine_at_thirty_random_moments_loses_next_to_nothing(tiny_config: Config, tmp_path: Path) -> None:
    """Killed again and again, also inside a checkpoint write, the run ends as if nothing had happened."""
    if sys.platform == "win32":
        pytest.skip("children are forked, which this system cannot do")
    interval = 2
    path = tiny_config(
        training_config={"max_steps": 400, "save_interval": interval, "eval_interval": 10, "log_interval": 1},
        sampling_config={"max_new_tokens": 2},
    )
    host = TrainerHost()
    try:
        began = time.monotonic()
        assert host.train(tmp_path / "straight", config=path) == 0
        whole = time.monotonic() - began
        run = RunDirectory(tmp_path / "broken")
        chooser = random.Random(11)
        reached = found = 0
        config: Path | None = path
        for _ in range(30):
            code = host.train(run.path, config=config, kill_after=chooser.uniform(0.02, whole / 20))
            if code == 0:
                break  # the machine has become so much quicker that it came to its end
            assert code == -signal.SIGKILL
            if run.identity() is None:
                shutil.rmtree(run.path, ignore_errors=True)  # killed before it began: nothing to resume
                continue
            config = None
            for folder in checkpoint_store(run).steps():
                verify(folder)
            newest = checkpoint_store(run).newest()
            step = newest.state.step if newest else 0
            events, _ = read_events(run.events_path)
            done = max((event["step"] for event in events if event["kind"] == "step"), default=0)
            assert step >= reached
            assert done - step <= interval
            reached, found = step, found + (step > reached)
            assert run.summary().status == "interrupted"
        else:
            assert host.train(run.path, config=config) == 0
        assert found >= 10, "too few of the kills met it in training"
        same_checkpoint(tmp_path / "straight/checkpoints/step-000400", run.path / "checkpoints/step-000400")
        assert not list(run.path.rglob("*.tmp"))
    finally:
        host.close()
