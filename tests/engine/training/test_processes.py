"""Several processes train one run: the curve of one, an orderly end whatever happens, resumed by any number."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.training.test_resume import begin, same_checkpoint
from trickster_engine.config import check
from trickster_engine.errors import EXIT_STOPPED, EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.model.checksums import verify
from trickster_engine.runs import RunDirectory, RunIdentity, read_events
from trickster_engine.runs.event_types import Event
from trickster_engine.training.start import resume, start

if sys.platform != "linux":
    pytest.skip("processes are found through /proc", allow_module_level=True)

Config = Callable[..., Path]

#: Nothing is drawn at random while it trains, so that any number of processes does the same.
EXACT: Mapping[str, Mapping[str, Any]] = {
    "model_config": {"dropout": 0.0},
    "training_config": {
        "batch_size": 8,
        "gradient_accumulation_steps": 2,
        "max_steps": 24,
        "log_interval": 1,
        "eval_interval": 8,
        "save_interval": 4,
    },
}


def several(count: int, **changes: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Changes to a config: `count` processes, nothing random, and what else is said."""
    device = {"device_type": "cpu", "enable_ddp": count > 1, "mesh_shape": [1, count]}
    merged = {section: {**EXACT.get(section, {}), **changes.get(section, {})} for section in {*EXACT, *changes}}
    return {**merged, "device_config": device}


def figures(run: RunDirectory) -> dict[tuple[str, int], list[float]]:
    """Losses and gradient norms by kind of event and step; the last word on each step counts."""
    found = {}
    for event in read_events(run.events_path)[0]:
        if event["kind"] == "step":
            found["step", event["step"]] = [event["loss"], event["grad_norm"]]
        elif event["kind"] == "eval":
            found["eval", event["step"]] = [event["train_loss"], event["val_loss"]]
    return found


def same_curve(one: RunDirectory, other: RunDirectory, tolerance: float) -> None:
    ours, theirs = figures(one), figures(other)
    assert ours.keys() == theirs.keys()
    for key, values in ours.items():
        assert theirs[key] == pytest.approx(values, rel=tolerance), key


def ranks_of(pid: int) -> dict[int, int]:
    """The training processes that a process has started: rank -> pid."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text()
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(status[status.rfind(")") + 2 :].split()[1]) == pid:
            found.update({int(value[5:]): int(folder.name) for value in environment if value.startswith(b"RANK=")})
    return found


class AtStep:
    """A watcher that does something once, at the first step event from a step on."""

    def __init__(self, step: int, do: Callable[[RunDirectory], None]) -> None:
        self._step = step
        self._do = do
        self._run: RunDirectory | None = None
        self.done_at: float | None = None

    def ready(self, run: RunDirectory, plan: object, identity: RunIdentity) -> None:
        self._run = run

    def event(self, event: Event) -> None:
        if event["kind"] == "step" and event["step"] >= self._step and self.done_at is None:
            assert self._run is not None
            self.done_at = time.monotonic()
            self._do(self._run)


def begin_watched(path: Path, run_path: Path, watcher: AtStep) -> str:
    plan = check(path.read_text(), path.parent).plan
    assert plan is not None
    _, outcome = start(path, path.read_text(), plan, [watcher], run_path=run_path, show_progress=False)
    return outcome


def kill_rank(rank: int) -> Callable[[RunDirectory], None]:
    return lambda _: os.kill(ranks_of(os.getpid())[rank], signal.SIGKILL)


def test_four_processes_learn_what_one_learns(tiny_config: Config) -> None:
    one, _ = begin(tiny_config("one", **several(1, training_config={"optimizer": "adamw"})))
    four, outcome = begin(tiny_config("four", **several(4, training_config={"optimizer": "adamw"})))
    assert outcome == "finished"
    same_curve(one, four, 1e-5)
    identity = four.identity()
    assert identity is not None
    assert identity.device == "cpu, 4 processes"
    assert not list(four.path.rglob("*.tmp"))


def test_a_lost_process_ends_the_job_and_any_number_goes_on(tiny_config: Config, tmp_path: Path) -> None:
    """Muon orthogonalises in bf16, which makes more of the last bit than fp32 does."""
    config = tiny_config("two", **several(2))
    straight_by_one, _ = begin(tiny_config("one", **several(1)))
    straight, _ = begin(config)
    same_curve(straight_by_one, straight, 1e-2)

    chooser = random.Random(os.getpid())  # another moment each time; the message of a failure says which
    step, rank = chooser.randrange(5, 20), chooser.randrange(2)
    broken = RunDirectory(tmp_path / "broken")
    watcher = AtStep(step, kill_rank(rank))
    with pytest.raises(TricksterError) as caught:
        begin_watched(config, broken.path, watcher)
    assert watcher.done_at is not None
    assert time.monotonic() - watcher.done_at < 30
    assert caught.value.code == "process-lost", (step, rank)
    assert caught.value.exit_code == EXIT_TRAINING_FAILED
    assert f"Process {rank} of the run" in caught.value.message
    assert not ranks_of(os.getpid())
    assert not broken.is_live()
    events = read_events(broken.events_path)[0]
    assert [event["kind"] for event in events[-2:]] == ["error", "status"]
    assert broken.summary().status == "failed"
    folders = sorted((broken.path / "checkpoints").glob("step-*"))
    assert folders
    for folder in folders:
        verify(folder)

    for count in (1, 2, 4):
        copy = RunDirectory(tmp_path / f"by-{count}")
        shutil.copytree(broken.path, copy.path)
        device = {"device_config.mesh_shape": f"[1, {count}]", "device_config.enable_ddp": str(count > 1).lower()}
        assert resume(copy, device if count != 2 else None, show_progress=False) == "finished"
        same_curve(straight, copy, 1e-2)
        if count == 2:
            same_checkpoint(straight.path / "checkpoints/step-000024", copy.path / "checkpoints/step-000024")


def test_a_signal_stops_all_at_one_step_and_resuming_is_exact(tiny_config: Config, tmp_path: Path) -> None:
    """With dropout: every process finds its own random generator again."""
    changes = several(2, model_config={"dropout": 0.2}, training_config={"optimizer": "adamw"})
    config = tiny_config("two", **changes)
    straight, _ = begin(config)
    broken = RunDirectory(tmp_path / "broken")
    with subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(config), "--json", f"--run-dir={broken.path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as trainer:
        assert trainer.stdout
        assert trainer.stderr
        told = []
        for line in trainer.stdout:
            told.append(json.loads(line))
            if told[-1]["kind"] == "step" and told[-1]["step"] == 5:
                holder = broken.trainer()
                assert holder is not None
                assert holder.pid == trainer.pid  # the process that was started is the one that holds the run
                trainer.send_signal(signal.SIGTERM)
        complaints = trainer.stderr.read()
    assert trainer.returncode == EXIT_STOPPED, complaints
    assert complaints == ""
    assert told[0]["status"] == "starting"
    assert [one for one in told if one["kind"] != "run"] == read_events(broken.events_path)[0]
    stopped = broken.summary()
    assert stopped.status == "stopped"
    assert 5 <= stopped.step < 24
    assert (broken.path / f"checkpoints/step-{stopped.step:06d}").is_dir()
    assert resume(broken, show_progress=False) == "finished"
    same_checkpoint(straight.path / "checkpoints/step-000024", broken.path / "checkpoints/step-000024")


def test_training_ends_with_the_process_that_was_started(tiny_config: Config, tmp_path: Path) -> None:
    """Killed outright, it leaves nobody behind who goes on writing into a run that another may take up."""
    config = tiny_config("two", **several(2, training_config={"max_steps": 100_000, "eval_interval": 50_000}))
    run = RunDirectory(tmp_path / "killed")
    with subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(config), "--json", f"--run-dir={run.path}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
        assert trainer.stdout
        ranks: dict[int, int] = {}
        for line in trainer.stdout:
            if not ranks and json.loads(line)["kind"] == "step":
                ranks = ranks_of(trainer.pid)
                watched = [os.pidfd_open(pid) for pid in ranks.values()]
                trainer.kill()
    assert len(ranks) == 2
    for descriptor in watched:  # an ended process becomes readable
        assert select.select([descriptor], [], [], 30)[0]
        os.close(descriptor)
    assert not run.is_live()
    assert run.summary().status == "interrupted"


def test_what_one_process_finds_wrong_is_what_is_said(tiny_config: Config, tmp_path: Path) -> None:
    """The first cannot write its checkpoint; that the other then lost touch with it explains nothing."""
    training = {"max_steps": 1000, "eval_interval": 1000, "save_interval": 1000}
    config = tiny_config("two", **several(2, output_config={"checkpoint_dir": "kept"}, training_config=training))
    run = RunDirectory(tmp_path / "unwritable")
    (tmp_path / "kept").mkdir()

    def put_a_file_in_its_place(_: RunDirectory) -> None:
        (tmp_path / "kept" / run.id).write_text("a file where the folder of the checkpoints should go")

    with pytest.raises(TricksterError) as caught:
        begin_watched(config, run.path, AtStep(1, put_a_file_in_its_place))
    assert caught.value.code == "cannot-write"
    assert caught.value.exit_code == EXIT_TRAINING_FAILED
    errors = [event for event in read_events(run.events_path)[0] if event["kind"] == "error"]
    assert [error["code"] for error in errors] == ["cannot-write"]


def test_torchrun_is_not_started_inside_torchrun(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"):
        monkeypatch.setenv(name, "0")
    with pytest.raises(TricksterError) as caught:
        begin(tiny_config(**several(2)))
    assert caught.value.code == "started-by-torchrun"


def test_devices_that_are_not_there_are_refused(tiny_config: Config) -> None:
    import torch

    if torch.cuda.device_count() >= 64:
        pytest.skip("this machine has them all")
    config = tiny_config(**several(2))
    config.write_text(config.read_text().replace('"cpu"', '"cuda"').replace("[1, 2]", "[1, 64]"))
    config.write_text(config.read_text().replace("batch_size: 8", "batch_size: 64"))
    with pytest.raises(TricksterError) as caught:
        begin(config)
    assert caught.value.code in ("device-unavailable", "too-few-devices")
    assert not (config.parent / "runs" / "tiny-001").exists()


def test_what_fails_while_a_process_is_loaded_is_reported(tmp_path: Path) -> None:
    """torch that cannot be imported: the process that started this one hears the reason, not only an exit code."""
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv[1:] = ['run', 'a.yaml']\n"
        "from trickster_engine.training import rank; rank.main()"
    )
    report = tmp_path / "error.json"
    environment = {**os.environ, "TORCHELASTIC_ERROR_FILE": str(report)}
    # Its standard input stays open, or it would end with it.
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 1
    assert "torch" in json.loads(report.read_text(encoding="utf-8"))["message"]["message"]
