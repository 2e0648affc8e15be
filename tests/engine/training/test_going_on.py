"""Going on when something has changed since: the project's folder, the number of steps, the person's own config."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from tests.engine.conftest import TINY
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_resume import begin, same_checkpoint
from trickster_engine.cli import main
from trickster_engine.config.plan import TrainingConfig
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.learning_rate import learning_rate_factor
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.training.start import resume

Config = Callable[..., Path]
SHORT = {"max_steps": 6, "eval_interval": 3, "save_interval": 3, "log_interval": 1}
FLOOR = TINY["training_config"]["learning_rate"] / 10


def warnings(run: RunDirectory) -> dict[str, str]:
    events = [event for event in read_events(run.events_path)[0] if event["kind"] == "warning"]
    return {event["code"]: f"{event['message']}\n{event['advice']}" for event in events}


def rates(run: RunDirectory) -> dict[int, float]:
    return {event["step"]: event["lr"] for event in read_events(run.events_path)[0] if event["kind"] == "step"}


# ---- the project's folder --------------------------------------------------------------------------------------------


def project(folder: Path, tiny_config: Config, **changes: Mapping[str, Any]) -> Path:
    """A trained project in a folder of its own; returns its run's folder."""
    folder.mkdir(parents=True)
    config = tiny_config(training_config=SHORT, **changes)
    shutil.copy(config, folder / "my.yaml")
    shutil.copy(config.parent / "play.txt", folder / "play.txt")
    run, outcome = begin(folder / "my.yaml")
    assert outcome == "finished"
    return run.path


def test_all_goes_on_in_a_project_that_was_moved(tiny_config: Config, tmp_path: Path) -> None:
    places = {"output_config": {"checkpoint_dir": "kept", "log_dir": "logs"}}
    unmoved = RunDirectory(project(tmp_path / "unmoved", tiny_config, **places))
    project(tmp_path / "project", tiny_config, **places)
    (tmp_path / "project").rename(tmp_path / "renamed")
    moved = RunDirectory(tmp_path / "renamed/runs/my-001")

    assert main(["resume", str(moved.path), "--set", "max_steps=8"]) == 0
    assert main(["resume", str(unmoved.path), "--set", "max_steps=8"]) == 0
    same_checkpoint(tmp_path / "unmoved/kept/my-001/step-000008", tmp_path / "renamed/kept/my-001/step-000008")
    assert main(["compare", str(moved.path)]) == 0
    assert main(["report", str(moved.path)]) == 0
    assert main(["sample", str(moved.path)]) == 0
    assert main(["runs", str(moved.path.parent), "--json"]) == 0
    assert not (tmp_path / "project").exists()
    summary = moved.summary()
    assert summary.config_path == str(tmp_path / "renamed/my.yaml")


@pytest.mark.parametrize("output_dir", ["runs", "deep/er/runs"])
def test_a_run_of_before_is_found_from_where_its_config_puts_runs(
    tiny_config: Config, tmp_path: Path, output_dir: str
) -> None:
    path = project(tmp_path / "project", tiny_config, output_config={"output_dir": output_dir})
    identity = json.loads((path / "run.json").read_text(encoding="utf-8"))
    del identity["config_from_run"], identity["sum"]
    (path / "run.json").write_text(json.dumps(identity), encoding="utf-8")
    (tmp_path / "project").rename(tmp_path / "renamed")
    run = RunDirectory(tmp_path / "renamed" / output_dir / "my-001")
    assert resume(run, {"max_steps": "7"}, show_progress=False) == "finished"
    assert run.summary().step == 7


def test_a_copy_of_a_project_lives_in_its_own_files(tiny_config: Config, tmp_path: Path) -> None:
    first = RunDirectory(project(tmp_path / "project", tiny_config, output_config={"checkpoint_dir": "kept"}))
    shutil.copytree(tmp_path / "project", tmp_path / "copy")
    before = sorted((tmp_path / "project").rglob("*"))
    assert resume(RunDirectory(tmp_path / "copy/runs/my-001"), {"max_steps": "7"}, show_progress=False) == "finished"
    assert (tmp_path / "copy/kept/my-001/step-000007").is_dir()
    assert sorted((tmp_path / "project").rglob("*")) == before and first.summary().step == 6
    # And a run that alone is elsewhere is still its project's.
    (tmp_path / "archive").mkdir()
    first.path.rename(tmp_path / "archive/my-001")
    alone = RunDirectory(tmp_path / "archive/my-001")
    identity = alone.identity()
    assert identity is not None and alone.origin(identity) == tmp_path / "project/my.yaml"


def test_of_several_texts_the_one_that_was_moved_is_named(
    tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = [{"path": "play.txt", "weight": 2}, {"path": "more.txt"}]
    config = tiny_config(training_config=SHORT, data_config={"corpus": corpus})
    shutil.copy(config.parent / "play.txt", config.parent / "more.txt")
    run, _ = begin(config)
    identity = run.identity()
    assert identity is not None and identity.data["name"] == "play.txt x 2 and more.txt"
    (config.parent / "more.txt").rename(config.parent / "moved to.txt")
    capsys.readouterr()
    assert main(["resume", str(run.path), "--set", "max_steps=7"]) != 0
    command = capsys.readouterr().err.split("--set ")[-1].replace("its new path", "moved to.txt")
    (setting,) = shlex.split(command.strip())
    assert main(["resume", str(run.path), "--set", "max_steps=7", "--set", setting]) == 0


def test_a_text_elsewhere_is_named_and_proved_by_its_fingerprint(
    tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "project/play.txt"
    path = project(tmp_path / "project", tiny_config, data_config={"corpus": str(corpus)})
    (tmp_path / "project").rename(tmp_path / "renamed")
    run, now = tmp_path / "renamed/runs/my-001", tmp_path / "renamed/play.txt"
    assert path.name == run.name
    text = (run / "config.yaml").read_text(encoding="utf-8")
    command = f"trickster resume {run} --set data_config.corpus={now}"
    assert main(["resume", str(run), "--set", "max_steps=8"]) == 1
    assert command in capsys.readouterr().err
    assert (run / "config.yaml").read_text(encoding="utf-8") == text
    assert main(["compare", str(run)]) == 1
    assert f"Change data_config.corpus in {run / 'config.yaml'} to {now}" in capsys.readouterr().err
    # Another text at the place that is named is no text of this run.
    wrong = tmp_path / "renamed/wrong.txt"
    wrong.write_text(now.read_text(encoding="utf-8").replace("king", "knave"), encoding="utf-8")
    assert main(["resume", str(run), "--set", f"data_config.corpus={wrong}"]) == 1
    assert "data-changed" in capsys.readouterr().err
    assert (run / "config.yaml").read_text(encoding="utf-8") == text
    assert main(command.split()[1:]) == 0
    assert main(["compare", str(run)]) == 0
    assert RunDirectory(run).summary().step == 6


# ---- steps -----------------------------------------------------------------------------------------------------------


def test_a_finished_run_says_what_will_not_happen_and_what_may_have_been_meant(
    tiny_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config(training_config=SHORT)
    run, _ = begin(path)
    events = run.events_path.read_bytes()

    assert main(["resume", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "has done all of its 6 steps" in said and "max_steps=12" in said and str(path) not in said

    for words, code in (
        (["--set", "max_steps=3"], "steps-already-made"),
        (["--set", "log_interval=3"], "already-finished"),
        (["--learning-rate", "floor"], "already-finished"),
    ):
        assert main(["resume", str(run.path), *words]) == 1
        said = capsys.readouterr().err
        assert code in said and f"trickster resume {run.path} --set training_config.max_steps=12" in said
    assert main(["resume", str(run.path), "--set", "max_steps=3"]) == 1
    assert "--checkpoint step-000003" in capsys.readouterr().err

    # The config beside the run is edited: one key that can change, and one that cannot.
    edited = path.read_text().replace('"max_steps": 6', "").replace("max_steps: 6", "max_steps: 9")
    path.write_text(edited.replace("hidden_dim: 32", "hidden_dim: 64"))
    os.utime(path, (later := run.summary().created + 60, later))
    assert main(["resume", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "training_config.max_steps 9 (6 in the run)" in said and "model_config.hidden_dim 64 (32 in the run)" in said
    command = f"trickster resume {run.path} --set training_config.max_steps=9"
    assert f"To resume with that: {command}\n" in said
    assert f"hidden_dim cannot change in a run; for a new one: trickster train {path}" in said
    assert run.events_path.read_bytes() == events

    assert main(command.split()[1:]) == 0
    assert run.summary().step == 9
    # What resuming itself has changed is no edit of the person's.
    assert "max_steps" not in warnings(run)["config-edited"]


def test_a_run_may_end_where_it_was_stopped(tiny_config: Config) -> None:
    with stopped_after(4):
        run, outcome = begin(tiny_config(training_config=SHORT))
    assert outcome == "stopped"
    assert resume(run, {"max_steps": "4"}, show_progress=False) == "finished"
    assert run.summary().step == 4 and (run.path / "final").is_dir()
    assert resume(run, show_progress=False) == "nothing to do"


def test_more_steps_for_a_run_that_lost_its_patience_need_patience(tiny_config: Config) -> None:
    impatient = {"eval_interval": 2, "early_stopping_patience": 1, "early_stopping_min_delta": 100}
    run, _ = begin(tiny_config(training_config={**SHORT, **impatient}))
    assert run.summary().step == 4
    with pytest.raises(TricksterError) as caught:
        resume(run, {"max_steps": "9"}, show_progress=False)
    assert caught.value.code == "already-finished" and "early_stopping_patience=0" in caught.value.advice
    assert resume(run, {"early_stopping_patience": "0"}, show_progress=False) == "finished"
    assert run.summary().step == 6


def test_a_run_that_is_shortened_early_has_its_warm_up_shortened(tiny_config: Config) -> None:
    with stopped_after(2):
        run, _ = begin(tiny_config(training_config={**SHORT, "max_steps": 100, "warmup_steps": 50}))
    assert resume(run, {"max_steps": "20"}, show_progress=False) == "finished"
    assert "warmup_steps: 2" in run.config_path.read_text() and "warmup-shortened" in warnings(run)


# ---- the learning rate -----------------------------------------------------------------------------------------------


def test_a_jump_of_the_learning_rate_is_said_with_both_ways_round_it(tiny_config: Config) -> None:
    run, _ = begin(tiny_config(training_config=SHORT))
    resume(run, {"max_steps": "20"}, show_progress=False)
    said = warnings(run)["learning-rate-jumps"]
    assert f"from {FLOOR:.3g} at step 6 to {rates(run)[7]:.3g} at step 7" in said
    for word in ("floor", "rewarm"):
        assert f"trickster resume {run.path} --set max_steps=20 --learning-rate {word}" in said
    assert rates(run)[7] > 5 * rates(run)[6]


@pytest.mark.parametrize("how", ["floor", "rewarm"])
def test_a_run_with_more_steps_goes_on_from_the_floor_and_a_later_resume_is_exact(
    tiny_config: Config, tmp_path: Path, how: Any
) -> None:
    run, _ = begin(tiny_config(training_config=SHORT))
    broken = RunDirectory(tmp_path / "broken/tiny-001")
    shutil.copytree(run.path, broken.path)
    assert resume(run, {"max_steps": "14"}, learning_rate=how, show_progress=False) == "finished"
    with stopped_after(3):
        assert resume(broken, {"max_steps": "14"}, learning_rate=how, show_progress=False) == "stopped"
    assert resume(broken, show_progress=False) == "finished"
    same_checkpoint(run.path / "checkpoints/step-000014", broken.path / "checkpoints/step-000014")
    assert "learning-rate-jumps" not in warnings(run)
    made = [rates(run)[step] for step in range(6, 15)]
    if how == "floor":
        assert made == pytest.approx([FLOOR] * 9)
    else:
        assert made[0] == pytest.approx(FLOOR) and made[2] == pytest.approx(10 * FLOOR)
        assert made[1] == pytest.approx(5.5 * FLOOR) and made[-1] == pytest.approx(FLOOR)
        assert made[2:] == sorted(made[2:], reverse=True)


def test_floor_takes_effect_in_the_middle_of_a_run_too(tiny_config: Config) -> None:
    with stopped_after(4):
        run, _ = begin(tiny_config(training_config={**SHORT, "max_steps": 12}))
    assert resume(run, learning_rate="floor", show_progress=False) == "finished"
    assert rates(run)[4] > 8 * FLOOR and rates(run)[5] == pytest.approx(FLOOR)


def test_a_warm_restart_is_torch_s_own_schedulers_in_a_row() -> None:
    """The outside truth: LinearLR and CosineAnnealingLR, one after the other, twice."""
    warm, first, last, rate, floor = 5, 40, 100, 1e-3, 1e-4
    training = TrainingConfig(
        max_steps=120, warmup_steps=warm, learning_rate=rate, min_learning_rate=floor, lr_restart_step=first,
        lr_decay_steps=last,
    )  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    share = floor / rate
    parts = (
        LinearLR(optimizer, 1 / warm, 1.0, warm - 1),
        CosineAnnealingLR(optimizer, first - warm, floor),
        LinearLR(optimizer, share + (1 - share) / warm, 1.0, warm - 1),
        CosineAnnealingLR(optimizer, last - first - warm, floor),
    )
    schedule = SequentialLR(optimizer, list(parts), [warm - 1, first, first + warm - 1])
    for step in range(last):
        if step not in (first - 1, last - 1):  # torch's reach the floor one step later than a run of this length has
            ours = rate * learning_rate_factor(step, training)
            theirs = optimizer.param_groups[0]["lr"]
            assert math.isclose(ours, theirs, rel_tol=1e-9), step
        optimizer.step()
        schedule.step()
    assert [rate * learning_rate_factor(step, training) for step in range(last - 1, 120)] == [floor] * 21
