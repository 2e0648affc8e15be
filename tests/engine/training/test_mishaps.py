"""What goes wrong around a run: readers that end, full disks, folders that were moved, copied or deleted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import trickster
from tests.engine.training.stopping import stopped_in_evaluation
from tests.refusals import refused
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.runs.checkpoint_files import read_state
from trickster_engine.training.start import resume, start

Config = Callable[..., Path]


def begin(path: Path) -> RunDirectory:
    plan = check(path.read_text(), path.parent).plan
    assert plan is not None
    return start(path, path.read_text(), plan, show_progress=False)[0]


def warnings(run: RunDirectory) -> list[str]:
    return [event["code"] for event in read_events(run.events_path)[0] if event["kind"] == "warning"]


def limited(size: int, *arguments: str | Path) -> subprocess.Popen[str]:
    """The command line where no file may grow beyond `size` bytes: a full disk, at the same calls."""
    code = (
        "import resource, signal, sys; from trickster_engine.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_ends_does_not_end_the_training(tiny_config: Config, form: list[str]) -> None:
    """As `trickster train | head -1`, or a terminal that is closed."""
    path = tiny_config(training_config={"max_steps": 40})
    process = subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(path), *form],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    run = RunDirectory(path.parent / "runs/tiny-001")
    assert (run.summary().status, run.summary().step) == ("finished", 40)
    assert "stopped following" in (run.path / "log.txt").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits on file sizes")
def test_a_disk_that_fills_up_during_a_checkpoint_says_so(tiny_config: Config) -> None:
    path = tiny_config()
    assert main(["prepare", str(path)]) == 0  # its files are larger than the limit
    process = limited(20_000, "train", path)
    _, error = process.communicate(timeout=120)
    assert process.returncode == EXIT_TRAINING_FAILED, error
    assert "disk is full" in error.lower() and "Traceback" not in error


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX limits on file sizes")
def test_stop_tells_when_the_run_could_not_save(tiny_config: Config) -> None:
    path = tiny_config(training_config={"max_steps": 100_000, "eval_interval": 100_000, "save_interval": 100_000})
    assert main(["prepare", str(path)]) == 0
    training = limited(20_000, "train", path, "--json")
    assert training.stdout is not None
    while json.loads(training.stdout.readline())["kind"] != "step":
        pass
    stopped = trickster("stop", path.parent / "runs/tiny-001")
    training.communicate(timeout=120)
    assert stopped.returncode == EXIT_TRAINING_FAILED and "with the status" in stopped.stderr


def test_a_run_whose_checkpoints_are_gone_does_not_begin_again(tiny_config: Config) -> None:
    run = begin(tiny_config())
    for checkpoint in (run.path / "checkpoints").iterdir():
        (checkpoint / "model.safetensors").write_bytes(b"no longer what it was")
    with pytest.raises(TricksterError) as caught:
        resume(run, {"max_steps": "16"}, show_progress=False)
    assert caught.value.code == "no-whole-checkpoint"
    shutil.rmtree(run.path / "checkpoints")
    with pytest.raises(TricksterError) as caught:
        resume(run, {"max_steps": "16"}, show_progress=False)
    assert caught.value.code == "no-whole-checkpoint"


def test_a_damaged_newest_checkpoint_is_passed_over_aloud(tiny_config: Config) -> None:
    run = begin(tiny_config())
    newest = run.path / "checkpoints/step-000012"
    (newest / "model.safetensors").write_bytes(b"no longer what it was")
    assert resume(run, show_progress=False) == "finished"
    assert "checkpoint-damaged" in warnings(run)
    assert run.summary().step == 12


def test_a_copy_of_a_checkpoint_is_not_the_newest_one(tiny_config: Config) -> None:
    run = begin(tiny_config())
    folder = run.path / "checkpoints"
    kept = sorted(path.name for path in folder.iterdir())
    for copy in ("step-000003-backup", "step-first"):
        shutil.copytree(folder / kept[0], folder / copy)
    assert resume(run, {"max_steps": "16"}, show_progress=False) == "finished"
    events = read_events(run.events_path)[0]
    assert [event["step"] for event in events if event["kind"] == "step" and event["step"] > 12]
    assert max(event["step"] for event in events if event["kind"] == "eval") == 16
    assert "checkpoint-damaged" not in warnings(run)
    assert (folder / "step-000003-backup").is_dir() and (folder / "step-000016").is_dir()


@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_model_is_not_measured_on_another_text(
    tiny_config: Config, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_config()
    run = begin(path)
    with (path.parent / "play.txt").open("a", encoding="utf-8") as corpus:
        corpus.write("ROMEO:\nIs the day so young?\n" * 20)
    assert main([command, str(run.path)]) == 1
    assert "data-changed" in capsys.readouterr().err


def test_a_change_that_does_not_work_is_taken_back(tiny_config: Config) -> None:
    run = begin(tiny_config())
    text = run.config_path.read_text(encoding="utf-8")
    with refused("device-unavailable"):
        resume(run, {"training_config.max_steps": "16", "device_config.device_type": "cuda"}, show_progress=False)
    assert run.config_path.read_text(encoding="utf-8") == text
    assert resume(run, {"max_steps": "16"}, show_progress=False) == "finished"
    assert (run.path / "config-until-step-12.yaml").read_text(encoding="utf-8") == text
    assert "max_steps: 16" in run.config_path.read_text(encoding="utf-8")


FIXED = {
    "training_config.optimizer": "adamw",
    "optimizer": "adamw",
    "hidden_dim": "64",
    "data_config.tokenizer": "char",
    "training_config.seed": "2",
    "training_config.batch_size": "8",
}


@pytest.mark.parametrize("key", FIXED)
def test_what_the_weights_belong_to_is_fixed(tiny_config: Config, key: str) -> None:
    run = begin(tiny_config())
    with pytest.raises(TricksterError) as caught:
        resume(run, {key: FIXED[key]}, show_progress=False)
    assert caught.value.code == "fixed-for-the-run"


def test_an_evaluation_that_is_made_up_for_at_the_end_counts(tiny_config: Config) -> None:
    path = tiny_config()
    straight = begin(path)
    with stopped_in_evaluation(7):  # the first half of the evaluation at the last step
        broken = begin(path)
    assert read_state(broken.path / "checkpoints/step-000012").last_eval_step == 8
    assert resume(broken, show_progress=False) == "finished"
    states = [read_state(run.path / "checkpoints/step-000012") for run in (straight, broken)]
    assert states[0] == states[1]
    assert json.loads((straight.path / "best.json").read_text()) == json.loads((broken.path / "best.json").read_text())


def test_a_prompt_that_the_corpus_cannot_write_is_named(
    tiny_config: Config, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (f"{number * 7919}: мороз и солнце день чудесный\n" for number in range(200))
    corpus.write_text("".join(lines), encoding="utf-8")
    path = tiny_config(data_config={"tokenizer": "char"})
    assert main(["train", str(path)]) == 1
    error = capsys.readouterr().err
    assert "The prompt 'ROMEO:'" in error and "sampling_config.prompt" in error


def test_a_new_run_does_not_inherit_the_checkpoints_of_a_deleted_one(tiny_config: Config) -> None:
    path = tiny_config(output_config={"checkpoint_dir": "kept"})
    run = begin(path)
    assert (path.parent / "kept/tiny-001/step-000012").is_dir()
    shutil.rmtree(run.path)
    with pytest.raises(TricksterError) as caught:
        begin(path)
    assert caught.value.code == "checkpoints-of-another-run"
    assert (path.parent / "kept/tiny-001/step-000012").is_dir() and not run.path.exists()


def test_the_person_s_own_folder_is_meant_by_a_tilde(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    run = begin(tiny_config(output_config={"output_dir": "~/runs", "checkpoint_dir": "~/kept", "log_dir": "~/logs"}))
    assert run.path == home / "runs/tiny-001"
    assert (home / "kept/tiny-001/step-000012").is_dir() and (home / "logs/tiny-001/log.txt").is_file()
