"""A run whose folder or lock is moved, deleted or replaced while it trains: it stops, and what is in memory is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import trickster
from tests.engine.training.reading import read_checkpoint
from tests.engine.training.test_processes import several
from trickster_engine.backends.base import Backend
from trickster_engine.backends.select import open_backend
from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import RunDirectory, RunIdentity, RunLock, read_events
from trickster_engine.runs.event_types import Event
from trickster_engine.training.start import resume, start

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody move a folder that a process writes into")

Config = Callable[..., Path]
Deed = Callable[[RunDirectory], None]


class At:
    """Does something to the run, once, after a step was written down."""

    def __init__(self, step: int, deed: Deed) -> None:
        self._step, self._deed = step, deed
        self._run: RunDirectory | None = None

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        self._run = run

    def event(self, event: Event) -> None:
        if self._run is not None and event["kind"] == "step" and event["step"] >= self._step:
            run, self._run = self._run, None
            self._deed(run)


def train(config: Path, deed: Deed, step: int = 6) -> TricksterError:
    """Train until the deed is noticed, and return what the person is told."""
    plan = check(config.read_text(), config.parent).plan
    assert plan is not None
    with pytest.raises(TricksterError) as caught:
        start(config, config.read_text(), plan, [At(step, deed)], show_progress=False)
    assert caught.value.exit_code == EXIT_TRAINING_FAILED
    return caught.value


def rescued(folder: Path) -> RunDirectory:
    (path,) = folder.glob("tiny-001-rescued-????????")
    return RunDirectory(path)


def aside(run: RunDirectory) -> None:
    run.path.rename(run.path.with_name("renamed"))


def elsewhere(run: RunDirectory) -> None:
    (run.path.parent.parent / "archive").mkdir()
    run.path.rename(run.path.parent.parent / "archive" / "old")


def deleted(run: RunDirectory) -> None:
    shutil.rmtree(run.path)


def taken_by_another(run: RunDirectory) -> None:
    """Deleted, and a new run takes its name: `trickster train` in another terminal."""
    shutil.rmtree(run.path)
    run.path.mkdir()
    with RunLock(run.path, uid="another"):
        (run.path / "mine.txt").write_text("another's")
    (run.path / "stop").touch()


def unlocked(run: RunDirectory) -> None:
    (run.path / "lock").unlink()
    with pytest.raises(TricksterError) as caught, RunLock(run.path):
        pass
    assert caught.value.code == "run-locked"
    assert run.is_live()


def unlogged(run: RunDirectory) -> None:
    run.events_path.unlink()


def relocked(run: RunDirectory) -> None:
    (run.path / "lock").unlink()
    (run.path / "lock").write_text("{}")


@pytest.mark.parametrize(
    ("deed", "code", "where"),
    [
        (aside, "run-moved", "runs"),
        (elsewhere, "run-moved", "archive"),
        (deleted, "run-deleted", "runs"),
        (taken_by_another, "run-replaced", "runs"),
        (unlocked, "lock-removed", "runs"),
        (relocked, "lock-replaced", "runs"),
        (unlogged, "events-removed", "runs"),
    ],
)
def test_what_is_in_memory_is_saved_beside_a_run_that_is_taken_away(
    tiny_config: Config, deed: Deed, code: str, where: str
) -> None:
    config = tiny_config(training_config={"max_steps": 40, "save_interval": 4, "eval_interval": 4})
    error = train(config, deed)
    runs = config.parent / "runs"
    run = rescued(config.parent / where)
    assert error.code == code and str(run.path) in error.message and "trickster resume" in error.advice
    assert code.startswith(("lock", "events")) or (runs / "tiny-001").exists() == (deed is taken_by_another)
    (checkpoint,) = (run.path / "checkpoints").iterdir()
    assert checkpoint.name == "step-000006" and read_checkpoint(checkpoint).state.step == 6
    identity = run.identity()
    assert identity is not None and identity.id == run.id and len(identity.uid) == 32
    if deed is aside:
        assert trickster("sample", run.path, "--max-new-tokens", "4").returncode == 0
    assert resume(run, show_progress=False) == "finished" and run.summary().step == 40
    if deed is taken_by_another:
        others = sorted(path.name for path in (runs / "tiny-001").iterdir())
        assert others == ["lock", "mine.txt", "stop"]
    if deed is aside:
        moved = RunDirectory(runs / "renamed")
        assert moved.summary().status == "failed" and not moved.is_live()
        assert any(event["kind"] == "error" and event["code"] == code for event in read_events(moved.events_path)[0])
        assert resume(moved, show_progress=False) == "finished"  # from its own last checkpoint


def test_a_run_that_goes_before_its_first_step_has_nothing_to_save(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trickster_engine.training import process

    def opened(*arguments: Any) -> Backend:
        (config.parent / "runs/tiny-001").rename(config.parent / "elsewhere")
        return open_backend(*arguments)

    config = tiny_config()
    monkeypatch.setattr(process, "open_backend", opened)
    error = train(config, deleted)
    assert error.code == "run-moved" and "start again" in error.advice
    assert list((config.parent / "runs").iterdir()) == []
    assert not (config.parent / "elsewhere/run.json").exists()


def test_the_old_trainer_s_checkpoints_are_never_another_run_s(tiny_config: Config) -> None:
    """Deleted while it trained, its name taken: today the new run went on from the old one's steps."""
    config = tiny_config(training_config={"max_steps": 40}, output_config={"checkpoint_dir": "kept"})
    train(config, taken_by_another)
    shutil.rmtree(config.parent / "runs/tiny-001")
    shutil.rmtree(config.parent / "kept/tiny-001")
    plan = check(config.read_text(), config.parent).plan
    assert plan is not None
    run, _ = start(config, config.read_text(), plan, show_progress=False)
    first, second = run.identity(), rescued(config.parent / "runs").identity()
    assert first is not None and second is not None and first.uid != second.uid
    assert (config.parent / "kept" / second.id / "step-000006").is_dir()


def test_processes_agree_that_their_run_was_moved(tiny_config: Config) -> None:
    config = tiny_config(
        **several(2, training_config={"max_steps": 2000, "eval_interval": 2000, "save_interval": 2000})
    )
    error = train(config, aside)
    run = rescued(config.parent / "runs")
    assert error.code == "run-moved" and str(run.path) in error.message
    (checkpoint,) = (run.path / "checkpoints").iterdir()
    assert read_checkpoint(checkpoint).state.step >= 6
    assert sorted(path.name for path in (config.parent / "runs").iterdir()) == ["renamed", run.id]
