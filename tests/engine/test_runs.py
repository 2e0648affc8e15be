"""Run directories as a reader sees them: torn lines, offsets, liveness, names."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from tests.refusals import refused
from trickster_engine.config import preset_text
from trickster_engine.errors import TricksterError
from trickster_engine.runs import (
    EventLog,
    RunDirectory,
    RunIdentity,
    RunLock,
    config_name,
    create_run,
    find_runs,
    read_events,
    read_lock_holder,
)
from trickster_engine.runs.event_types import StatusEvent
from trickster_engine.system.processes import ProcessIdentity, is_running, process_started, this_process


def status(step: int, message: str | None = None) -> StatusEvent:
    return StatusEvent(t=float(step), kind="status", status="training", step=step, message=message)


def test_events_are_read_back_and_offsets_go_on_where_they_ended(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write(status(1, "ünïcode ✓ \u2028"))
    first, offset = read_events(path)
    log.write(status(2))
    second, end = read_events(path, offset)
    assert [e["message"] for e in first if e["kind"] == "status"] == ["ünïcode ✓ \u2028"]
    assert second == [status(2)]
    assert read_events(path, end) == ([], end)


def test_a_line_still_being_written_is_left_for_the_next_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    line = json.dumps(status(1)) + "\n"
    path.write_text(line + line[:20])
    events, offset = read_events(path)
    assert len(events) == 1
    assert offset == len(line)
    path.write_text(line + line)
    assert len(read_events(path, offset)[0]) == 1


def test_reading_in_small_pieces_gives_every_event_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for step in range(50):
        log.write(status(step, "x" * step))
    events, offset = [], 0
    while True:
        piece, offset_after = read_events(path, offset, max_bytes=64)
        if offset_after == offset:
            break
        events += piece
        offset = offset_after
    assert [event["t"] for event in events] == list(range(50))


def test_what_a_killed_writer_left_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = json.dumps(status(1)) + "\n"
    for torn in ("", "{", '{"t": 3, "kind": "sta', "x" * 200_000):
        path.write_text(whole + torn)
        log = EventLog(path)
        log.write(status(2))
        log.close()
        assert [event["t"] for event in read_events(path)[0]] == [1, 2]


def test_a_missing_or_garbled_file_is_no_failure(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none") == ([], 0)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\x00\xff garbage\n[1]\n" + json.dumps(status(4)).encode() + b"\n")
    assert [event["t"] for event in read_events(path)[0]] == [4]
    path.write_text("[" * 100_000 + "\n" + json.dumps(status(5)) + "\n")
    assert [event["t"] for event in read_events(path)[0]] == [5]


def test_a_file_that_cannot_be_read_now_has_nothing_new(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").mkdir()
    assert read_events(tmp_path / "events.jsonl", 7) == ([], 7)
    assert read_events(tmp_path / "events.jsonl" / "below", 7) == ([], 7)


def test_the_list_names_the_files_of_a_run_that_cannot_be_used(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("linked", "damaged", "unset", "unlocked", "whole"):
        (runs / name).mkdir(parents=True)
        (runs / name / "config.yaml").touch()
        (runs / name / "events.jsonl").write_text(json.dumps(status(4)) + "\n")
    (runs / "linked" / "config.yaml").unlink()
    (runs / "linked" / "config.yaml").symlink_to(tmp_path / "another.yaml")
    (runs / "unlocked" / "lock").symlink_to(tmp_path / "another-lock")
    (runs / "damaged" / "run.json").write_text("{")
    (runs / "unset" / "config.yaml").write_text("model_config:\n  num_heads: none\n")
    told = {run.id: run.summary().troubles for run in find_runs(runs)}
    assert told["whole"] == ()
    assert "is a link" in told["linked"][0] and "config.yaml" in told["linked"][0]
    assert "run.json is not what Trickster writes" in told["damaged"][0]
    assert "num_heads" in told["unset"][0]
    assert "lock cannot be read" in told["unlocked"][0]
    done = subprocess.run(
        [sys.executable, "-m", "trickster_engine", "runs", runs], capture_output=True, text=True, check=True
    )
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == told.keys()
    assert {line.split(":")[0] for line in done.stderr.splitlines()} == told.keys() - {"whole"}


def test_what_a_run_is_counts_only_as_it_was_written(tmp_path: Path) -> None:
    identity = RunIdentity(
        "r-001", "a.yaml", 1.0, "h", 1, 1.0, "torch", "cpu", "fp32", {}, {"name": "ä"}, 5, {"uniform": 5.545}, "ab"
    )  # fmt: skip
    run = RunDirectory(tmp_path)
    run.write_identity(identity)
    path = tmp_path / "run.json"
    written = path.read_text(encoding="utf-8")
    assert run.identity() == identity
    path.write_text(json.dumps({"of a later version": 1, **json.loads(written)}), encoding="utf-8")
    assert run.identity() == identity
    without = {key: value for key, value in json.loads(written).items() if key != "sum"}
    path.write_text(json.dumps(without), encoding="utf-8")
    assert run.identity() == identity, "written before there were sums"
    for changed in (written.replace("5.545", "5.544"), written.replace('"id"', '"ie"'), '{"sum": 1}'):
        path.write_text(changed, encoding="utf-8")
        with refused("run-not-ours"):
            run.identity()


LOOK_AS_NOBODY = """
import os, sys
from pathlib import Path
from trickster_engine.runs import find_runs, is_run_directory, read_events
if os.geteuid() == 0:  # root may enter any folder: look as nobody
    os.setuid(65534)
folder = Path(sys.argv[1])
print([run.id for run in find_runs(folder)], is_run_directory(folder / "b-001"))
print(read_events(folder / "a-001" / "events.jsonl", 3))
"""


def test_a_run_that_cannot_be_entered_is_passed_over(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("POSIX permissions")
    for name in ("a-001", "b-001", "c-001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
        (tmp_path / name / "events.jsonl").touch()
    for folder in [tmp_path, *tmp_path.parents]:
        if folder == Path("/tmp"):
            break
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    (tmp_path / "a-001" / "events.jsonl").chmod(0)
    (tmp_path / "b-001").chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOOK_AS_NOBODY, str(tmp_path)], capture_output=True, text=True, check=True
        )
    finally:
        (tmp_path / "b-001").chmod(0o755)
    assert done.stdout.splitlines() == ["['a-001', 'c-001'] False", "([], 3)"]


def test_names_count_up_and_skip_what_is_taken(tmp_path: Path) -> None:
    assert create_run(tmp_path, "nano").id == "nano-001"
    (tmp_path / "nano-007").mkdir()
    (tmp_path / "nano-11m-009").mkdir()
    assert create_run(tmp_path, "nano").id == "nano-008"
    assert create_run(tmp_path, "nano-11m").id == "nano-11m-010"


def test_no_run_is_written_inside_another(tmp_path: Path) -> None:
    run = create_run(tmp_path / "runs", "nano")
    run.config_path.write_text(preset_text("nano"), encoding="utf-8")
    EventLog(run.events_path).close()
    with pytest.raises(TricksterError) as caught:
        create_run(run.path / "runs", "config")
    assert caught.value.code == "inside-a-run" and str(run.path) in caught.value.message
    assert not (run.path / "runs").exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("nano.yaml", "nano"),
        ("my.trickster.yaml", "my"),
        ("a b/ü.yml", "ü"),
        ("two words.yaml", "two-words"),
        ("..yaml", "run"),
    ],
)
def test_a_run_is_named_after_its_config(file: str, name: str) -> None:
    assert config_name(Path(file)) == name


def test_an_output_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TricksterError) as caught:
        create_run(tmp_path / "file" / "runs", "nano")
    assert caught.value.code == "output-not-writable"


def hold(path: str, ready: Event, release: Event) -> None:
    with RunLock(Path(path)):
        ready.set()
        release.wait(60)


def test_a_lock_shows_who_holds_it_and_ends_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(str(tmp_path), ready, release))
    holder.start()
    assert ready.wait(60)
    run = RunDirectory(tmp_path)
    assert run.is_live()
    trainer = run.trainer()
    assert trainer is not None
    assert trainer.pid == holder.pid
    assert is_running(trainer)
    with refused("run-locked", str(holder.pid)), RunLock(tmp_path):
        pass
    holder.kill()
    holder.join(60)
    assert not run.is_live()
    assert not is_running(trainer)
    with RunLock(tmp_path):
        assert run.trainer() == this_process()


def test_looking_at_a_lock_never_makes_one(tmp_path: Path) -> None:
    assert not RunDirectory(tmp_path).is_live()
    assert list(tmp_path.iterdir()) == []


def test_a_later_process_with_the_same_number_is_another_process() -> None:
    mine = this_process()
    assert is_running(mine)
    assert not is_running(ProcessIdentity(mine.pid, mine.started - 3600, mine.host))


def test_the_start_of_a_process_is_about_now() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = process_started(process.pid)
        assert started is not None
        assert abs(started - time.time()) < 60
    finally:
        process.communicate(b"\n")
    assert process_started(process.pid) is None


def test_an_unreadable_lock_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("not json")
    assert read_lock_holder(tmp_path / "lock") is None


def test_only_run_directories_are_listed(tmp_path: Path) -> None:
    run = create_run(tmp_path, "nano")
    (tmp_path / "other").mkdir()
    assert list(find_runs(tmp_path)) == []
    EventLog(run.events_path).write(status(3))
    run.config_path.write_text("training_config:\n  max_steps: 7\n  warmup_steps: 1\n")
    (found,) = find_runs(tmp_path)
    summary = found.summary()
    assert (summary.id, summary.status, summary.live, summary.step) == ("nano-001", "interrupted", False, 3)
    assert list(find_runs(tmp_path / "missing")) == []


def test_stop_requests_are_made_seen_and_cleared(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert not run.stop_requested()
    run.request_stop()
    assert run.stop_requested()
    run.clear_stop_request()
    run.clear_stop_request()
    assert not run.stop_requested()


def test_reading_runs_needs_no_torch() -> None:
    code = "import sys, trickster_engine.runs; print('torch' in sys.modules, 'numpy' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert answer.stdout.split() == ["False", "False"]
