"""A checkpoint with the weights of the one before is refused where training has moved them, and only there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.training.reading import of_kind
from tests.engine.training.test_loop import train
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.checkpoint_files import checkpoint_folders
from trickster_engine.training.start import resume

Config = Callable[..., Path]


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch hands out, from the first time on, the weights that it was first asked for."""
    honest = TorchBackend.weights
    read: dict[TorchBackend, dict[str, np.ndarray]] = {}

    def first_read(self: TorchBackend) -> Mapping[str, np.ndarray]:
        if self not in read:
            read[self] = {name: np.array(array) for name, array in honest(self).items()}
        return read[self]

    monkeypatch.setattr(TorchBackend, "weights", first_read)


def refused(action: Callable[[], Any]) -> TricksterError:
    with pytest.raises(TricksterError) as caught:
        action()
    assert (caught.value.code, caught.value.exit_code) == ("weights-not-moving", EXIT_TRAINING_FAILED)
    return caught.value


@pytest.mark.usefixtures("stale")
def test_a_run_that_saves_old_weights_stops(tiny_config: Config, tmp_path: Path) -> None:
    path = tiny_config()
    error = refused(lambda: train(path))
    assert "step 4 are" in error.message and "step 3," in error.message
    run = next((tmp_path / "runs").iterdir())
    assert [folder.name for folder in (run / "checkpoints").iterdir()] == ["step-000003"]


def test_a_run_is_held_to_the_checkpoint_it_goes_on_from(tiny_config: Config, request: pytest.FixtureRequest) -> None:
    run, _, _ = train(tiny_config())
    saved = len(checkpoint_folders(run.path / "checkpoints"))
    request.getfixturevalue("stale")
    honest_load = TorchBackend.load

    def load(self: TorchBackend, *saved: Any) -> None:
        honest_load(self, *saved)
        self.weights()  # read once, before the first update

    request.getfixturevalue("monkeypatch").setattr(TorchBackend, "load", load)
    error = refused(lambda: resume(run, {"training_config.max_steps": "24"}, show_progress=False))
    assert "step 12," in error.message
    assert len(checkpoint_folders(run.path / "checkpoints")) == saved


@pytest.mark.parametrize(
    "training",
    [
        {"save_interval": 1, "eval_interval": 1},  # the last updates of a schedule that falls to nothing
        {"save_interval": 1, "lr_schedule": "linear", "warmup_steps": 0},
        {"learning_rate": 1e-12, "muon_learning_rate": 1e-12, "min_learning_rate": 0},  # rounded away, and no defect
        {"eval_interval": 3},  # saved, and saved again after an evaluation
    ],
)
def test_nobody_else_is_stopped(tiny_config: Config, training: dict[str, Any]) -> None:
    _, outcome, events = train(tiny_config(training_config={"min_learning_rate": 0, "optimizer": "adamw", **training}))
    assert outcome == "finished"
    assert of_kind(events, "checkpoint")


def test_going_on_without_an_update_is_no_reason(tiny_config: Config) -> None:
    run, _, _ = train(tiny_config())
    assert resume(RunDirectory(run.path), show_progress=False) == "nothing to do"
