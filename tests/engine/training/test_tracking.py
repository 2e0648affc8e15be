"""TensorBoard and Weights & Biases show one curve of a run that was killed: read back by their own code."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.training.reading import of_kind
from tests.engine.training.stopping import stopped_after, stopped_in_evaluation
from tests.engine.training.test_resume import begin
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.runs.event_types import Event
from trickster_engine.training.start import resume
from trickster_engine.training.tracking import figures, reported_events, sort_before_a_new_log

Config = Callable[..., Path]
#: It has come far beyond its newest checkpoint when it is killed.
LONG = {"max_steps": 100_000, "log_interval": 5, "eval_interval": 40, "save_interval": 60}
LAST, PATIENCE_S = 150, 240.0


def killed(path: Path) -> RunDirectory:
    """A run that was killed some steps after a checkpoint."""
    run = RunDirectory(path.parent / "runs" / f"{path.stem}-001")
    command = [sys.executable, "-m", "trickster_engine", "train", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE_S
        while not any(80 < step < 120 for step, _ in points(run, "step/loss")):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert (run.path / "checkpoints/step-000060").is_dir() or (run.path / "checkpoints/step-000080").is_dir()
    return run


def points(run: RunDirectory, name: str) -> list[tuple[int, float]]:
    """A curve as `events.jsonl` has it in the end: of steps that were made twice, what was told last."""
    kind, _, field = name.partition("/")
    if not run.events_path.exists():
        return []
    return sorted({event["step"]: event[field] for event in of_kind(read_events(run.events_path)[0], kind)}.items())


def tensorboard_points(run: RunDirectory, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(run.path / "tensorboard"))
    log.Reload()
    return [(event.step, event.value) for event in log.Scalars(name)]


def same(ours: list[tuple[int, float]], truth: list[tuple[int, float]]) -> None:
    assert [step for step, _ in ours] == [step for step, _ in truth]
    assert [value for _, value in ours] == pytest.approx([value for _, value in truth], rel=1e-6)


def test_tensorboard_shows_one_curve_after_a_kill(tiny_config: Config) -> None:
    run = killed(tiny_config(training_config={**LONG, "tracking": "tensorboard"}))
    assert resume(run, {"max_steps": str(LAST)}, learning_rate="curve", show_progress=False) == "finished"
    steps = [event["step"] for event in read_events(run.events_path)[0] if event["kind"] == "step"]
    assert len(steps) > len(set(steps)) == LAST // 5, "it was killed before it had come beyond its checkpoint"
    for name in ("step/loss", "step/lr", "eval/val_loss"):
        same(tensorboard_points(run, name), points(run, name))


@pytest.mark.parametrize("ahead_s", [0, 86_400], ids=["in the same second", "after the clock was set back"])
def test_tensorboard_reads_the_log_of_a_resumed_run_last(tiny_config: Config, ahead_s: int) -> None:
    """Twice: names that were given once do not get in the way of the next."""
    run, _ = begin(tiny_config(training_config={"tracking": "tensorboard", "max_steps": 4, "save_interval": 2}))
    for last in (8, 12):
        for log in (run.path / "tensorboard").iterdir():
            second = int(log.name.split(".")[3])
            log.rename(log.with_name(log.name.replace(str(second), str(int(time.time()) + ahead_s + 1))))
        assert resume(run, {"max_steps": str(last)}, learning_rate="curve", show_progress=False) == "finished"
    assert len(list((run.path / "tensorboard").iterdir())) == 3
    for name in ("step/loss", "eval/val_loss"):
        same(tensorboard_points(run, name), points(run, name))


def test_logs_that_come_after_a_new_one_keep_their_order(tmp_path: Path) -> None:
    for name in ("8.host.3.0", "9.host.2.0", "10.host.1.0", "12.host.0.0", "x.host.0.0"):
        (tmp_path / f"events.out.tfevents.{name.zfill(19)}").write_text(name)
    sort_before_a_new_log(tmp_path, 10)
    logs = sorted(log for log in tmp_path.iterdir() if "x" not in log.name)
    assert [log.read_text() for log in logs] == ["8.host.3.0", "9.host.2.0", "10.host.1.0", "12.host.0.0"]
    assert logs[-1].name < "events.out.tfevents.0000000010"


def test_tensorboard_keeps_the_step_whose_evaluation_is_made_up_for(tiny_config: Config) -> None:
    """Stopped in an evaluation, resumed, and killed after it was told: told again, it is there once."""
    training = {"tracking": "tensorboard", "save_interval": 12}
    with stopped_in_evaluation(3):  # the first half of the evaluation at step 4
        run, outcome = begin(tiny_config(training_config=training))
    assert outcome == "stopped" and run.summary().step == 4
    with stopped_after(2):
        assert resume(run, show_progress=False) == "stopped"
    for newer in sorted((run.path / "checkpoints").glob("step-*"))[1:]:  # as after a kill at step 6
        for file in newer.rglob("manifest.json"):
            file.unlink()
    state = run.path / "checkpoints/step-000004/trainer/state.json"
    assert resume(run, show_progress=False) == "finished", json.loads(state.read_text())
    for name in ("step/loss", "eval/val_loss"):
        same(tensorboard_points(run, name), points(run, name))


def test_what_was_told_counts_once_and_up_to_where_it_goes_on(tmp_path: Path) -> None:
    def step(at: int, loss: float) -> Event:
        return {"t": 0.0, "kind": "step", "step": at, "loss": loss, "lr": 1.0, "grad_norm": 1.0,
                "tokens_per_s": 1.0, "eta_s": None, "mfu": None}  # fmt: skip

    def measured(at: int, loss: float) -> Event:
        return {"t": 0.0, "kind": "eval", "step": at, "train_loss": loss, "val_loss": loss, "perplexity": 1.0}

    began = {"t": 0.0, "kind": "status", "status": "starting", "step": 4, "message": None}
    told = [step(2, 1.0), step(4, 2.0), measured(4, 3.0), step(5, 4.0), began, measured(4, 5.0), step(6, 6.0)]
    path = tmp_path / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in told), encoding="utf-8")

    def losses(at: int, measured: bool) -> list[float]:
        return [next(iter(figures(event).values())) for event in reported_events(path, at, measured=measured)]

    assert losses(6, True) == [1.0, 2.0, 5.0, 6.0]
    assert losses(4, True) == [1.0, 2.0, 5.0]
    assert losses(4, False) == [1.0, 2.0]


def wandb_points(folder: Path, name: str) -> list[tuple[int, float]]:
    """A curve in an offline log, which is LevelDB's log format (blocks of 32 KiB) around W&B's own messages."""
    from wandb.proto.wandb_internal_pb2 import Record

    (log,) = folder.glob("*.wandb")
    data, at, whole, found = log.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole = data[at + 7 : at + 7 + length] if kind in (1, 2) else whole + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind not in (1, 4):
            continue
        record = Record()
        record.ParseFromString(whole)
        items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        if name in items:
            found.append((record.history.step.num, float(items[name])))
    return found


def test_wandb_s_newest_log_holds_one_curve_under_one_id_after_a_kill(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="W&B's client is not installed: pip install wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = killed(tiny_config(training_config={**LONG, "tracking": "wandb"}))
    assert resume(run, {"max_steps": str(LAST)}, learning_rate="curve", show_progress=False) == "finished"
    (newest,) = (run.path / "wandb").glob("offline-run-*")
    (before,) = (run.path / "wandb").glob("replaced-offline-run-*")
    identity = run.identity()
    assert identity is not None
    assert newest.name.endswith(identity.uid) and before.name.endswith(identity.uid)
    end = time.monotonic() + PATIENCE_S  # its service may still be writing
    while len(wandb_points(newest, "step/loss")) < LAST // 5 and time.monotonic() < end:
        time.sleep(0.1)
    for name in ("step/loss", "eval/val_loss"):
        same(wandb_points(newest, name), points(run, name))
