"""What stands in `events.jsonl` is checked by one reader: nothing that anybody writes there breaks a list of runs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from tests.benchmarks.many_events import TRICKSTER, line, write_events, write_runs
from tests.server.run_files import lines, status, write_run
from tests.terminals import on_terminal
from trickster_engine.evaluation.report.history import history
from trickster_engine.runs import EventLog, RunDirectory, RunState, pieces, read_events, read_piece
from trickster_engine.runs.event_types import Event
from trickster_engine.runs.events import LINE_LIMIT
from trickster_engine.runs.planned import planned_steps
from trickster_engine.runs.schema import KINDS, parse_event
from trickster_engine.runs.skim import skim

STEP = {
    "t": 2.0, "kind": "step", "step": 7, "loss": 1.5, "lr": 1e-3, "grad_norm": 0.5,
    "tokens_per_s": 10.0, "eta_s": None, "mfu": None,
}  # fmt: skip
GOOD: dict[str, dict[str, Any]] = {
    "status": {"t": 1.0, "kind": "status", "status": "training", "step": 0, "message": None},
    "step": STEP,
    "eval": {"t": 3.0, "kind": "eval", "step": 7, "train_loss": 1.0, "val_loss": 2.0, "perplexity": 7.4},
    "baselines": {"t": 3.0, "kind": "baselines", "step": 7, "nats": {"uniform": 5.545, "7-gram": 1.5}},
    "sample": {"t": 4.0, "kind": "sample", "step": 7, "prompt": "A", "text": "\x1b[31m ünïcode 🙂"},
    "checkpoint": {
        "t": 5.0, "kind": "checkpoint", "step": 7, "path": "checkpoints/step-000007", "val_loss": None, "best": True,
    },
    "layers": {
        "t": 5.0, "kind": "layers", "step": 7, "grad_norm": None, "update_ratio": {"0": 1e-3},
        "weight_norm": {"embedding": 7.5}, "activation_rms": {"0": 1.0}, "attention_entropy": {"0": 0.5},
        "dead_neurons": {"0": 0.0}, "effective_rank": {"0": 12.5}, "changed_by_future": 0.0,
        "order": {"training": 0.5, "validation": 0.4},
    },
    "warning": {"t": 6.0, "kind": "warning", "code": "c", "message": "m", "advice": "a"},
    "error": {"t": 6.0, "kind": "error", "code": "c", "message": "m", "advice": "a"},
    "action": {"t": 7.0, "kind": "action", "step": 7, "action": "stop", "origin": "an agent 1.0"},
}  # fmt: skip


def parsed(event: object) -> Event | None:
    return parse_event(json.dumps(event).encode())


def test_every_kind_of_event_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    assert set(GOOD) == set(KINDS) and len(KINDS) == len(get_args(Event))
    log = EventLog(tmp_path / "events.jsonl")
    for event in GOOD.values():
        log.write(event)  # type: ignore[arg-type]
    log.close()
    assert read_events(tmp_path / "events.jsonl")[0] == list(GOOD.values())


def test_a_flipped_bit_of_a_line_is_never_read_as_an_event_of_another_meaning() -> None:
    whole = line(GOOD["eval"])
    told = set()
    for at in range(len(whole) - 1):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            try:
                told.add(json.dumps(parse_event(bytes(flipped))))
            except ValueError:
                told.add("refused")
    assert told == {"refused", json.dumps(GOOD["eval"])}
    assert parsed(GOOD["eval"]) == GOOD["eval"], "a line of before there were sums"


@pytest.mark.parametrize("kind", GOOD)
def test_a_field_of_another_type_is_not_understood(kind: str) -> None:
    for name, hint in KINDS[kind].items():
        if name == "kind":  # another text is an event of a later version
            continue
        may_be_none = type(None) in get_args(hint)
        wrong: list[Any] = [[], {}, True if name != "best" else 1, "x" * 200_000, math.inf, math.nan, 10**400]
        wrong += [] if may_be_none else [None]
        wrong += ["seven"] if isinstance(GOOD[kind][name], (int, float)) or (may_be_none and name != "message") else [7]
        for value in wrong:
            with pytest.raises(ValueError):
                parsed({**GOOD[kind], name: value})
        rest = {key: value for key, value in GOOD[kind].items() if key != name}
        if may_be_none:  # of an older version, which did not know the field
            assert parsed(rest) == {**GOOD[kind], name: None}
        else:
            with pytest.raises(ValueError):
                parsed(rest)


def test_what_a_later_version_writes_is_passed_over() -> None:
    assert parsed({**STEP, "watts": 300}) == STEP
    assert parsed({"t": 1.0, "kind": "merge", "with": "b-002"}) is None
    no_events: tuple[object, ...] = (
        {"kind": "merge"}, {"t": 1.0}, {"t": 1.0, "kind": 7}, {"t": None, "kind": "merge"}, [], 7, None,
    )  # fmt: skip
    for damaged in no_events:
        with pytest.raises(ValueError):
            parsed(damaged)
    for text in (b'{"t": 1.0, "kind": "status", "step": \xff}', b"[" * 100_000, b"", b'"\\ud800"'):
        with pytest.raises(ValueError):
            parse_event(text)
    with pytest.raises(ValueError):  # half a character cannot be written anywhere
        parsed({**GOOD["warning"], "message": "\ud800"})


def test_what_is_written_is_never_too_long_to_be_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write({**GOOD["sample"], "text": "\x01" * 3_000_000, "prompt": "\x01" * 3_000_000})  # type: ignore[arg-type]
    log.write({**GOOD["error"], "message": "\ud800🙂" * 1_000_000, "advice": "\x01" * 3_000_000})  # type: ignore[arg-type]
    log.close()
    assert max(len(line) for line in path.read_bytes().splitlines(True)) < LINE_LIMIT
    assert [event["kind"] for event in read_events(path)[0]] == ["sample", "error"]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write(status(1))  # type: ignore[arg-type]
    really = os.write
    monkeypatch.setattr(os, "write", lambda file, data: really(file, data[:9]))
    with pytest.raises(OSError, match="No space left"):
        log.write(status(2))  # type: ignore[arg-type]
    monkeypatch.undo()
    log.write(status(3))  # type: ignore[arg-type]
    log.close()
    assert [event["t"] for event in read_events(path)[0]] == [1.0, 1.0]
    assert read_piece(path).left_out == 0


# ---- lists -----------------------------------------------------------------------------------------------------------


def trickster(*arguments: object, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """The real command, with at most so many bytes of address space."""
    if sys.platform == "win32":
        pytest.skip("limits of POSIX")

    def hold() -> None:
        if limit is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return subprocess.run(
        [*TRICKSTER, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60, preexec_fn=hold
    )


def test_one_bad_run_breaks_no_list(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("links, FIFOs and devices of POSIX")
    runs = tmp_path / "runs"
    write_run(runs / "good-001", status(3), GOOD["eval"], config_path=tmp_path / "x.yaml")
    bad = write_run(runs / "bad-001", status(1))
    no_t = {"kind": "status", "status": "training", "step": 1, "message": None}
    bad.events_path.write_text(
        lines(status(1), no_t, {**GOOD["eval"], "val_loss": None}, {**STEP, "step": "7"}, GOOD["eval"]), "utf-8"
    )
    long = write_run(runs / "long-001", status(1))
    long.events_path.write_bytes(b"x" * (3 * LINE_LIMIT) + b"\n" + lines(status(9)).encode())
    for name, target in (("endless-001", "/dev/zero"), ("kernel-001", "/proc/self/maps"), ("linked-001", "../o")):
        run = write_run(runs / name, status(1))
        run.events_path.unlink()
        run.events_path.symlink_to(target)
    (runs / "o").write_text(lines(status(5)))
    fifo = write_run(runs / "fifo-001", status(1))
    fifo.events_path.unlink()
    os.mkfifo(fifo.events_path)
    for part in ("run.json", "lock", "config.yaml"):
        run = write_run(runs / f"{part.partition('.')[0]}-001", status(4), config_path=tmp_path / "x.yaml")
        (run.path / part).unlink(missing_ok=True)
        os.mkfifo(run.path / part)
    sparse = write_run(runs / "sparse-001", status(1))
    with sparse.events_path.open("ab") as file:
        file.truncate(5 << 40)

    done = trickster("runs", runs, limit=1 << 30)
    assert done.returncode == 0, done.stderr
    listed = {row.split()[0]: row.split()[1:] for row in done.stdout.splitlines()[1:]}
    assert (listed["good-001"][1], listed["bad-001"][1]) == ("7", "7"), "of their evaluations"
    assert listed["bad-001"][-1] == "2.0000" and listed["long-001"][1] == "9"
    assert listed["lock-001"][1] == listed["run-001"][1] == "4"
    assert "Traceback" not in done.stderr
    said = dict(row.split(": ", 1) for row in done.stderr.splitlines())
    assert said["bad-001"] == "in events.jsonl, 3 lines were not understood and are skipped"
    assert said["long-001"] == "in events.jsonl, 1 line was not understood and is skipped"
    assert "events.jsonl cannot be read" in said["sparse-001"]
    assert "good-001" not in said
    answer = json.loads(trickster("runs", runs, "--json", limit=1 << 30).stdout)
    assert {run["id"]: run["left_out"] for run in answer["runs"]}["bad-001"] == 3
    if "linked-001" in listed:
        assert said["linked-001"].endswith("events.jsonl is a link, not a plain file.")


def test_a_state_is_the_same_however_its_run_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write_events(path, 5_000)
    with path.open("ab") as file:
        file.write(b"not an event\n" + line({**STEP, "loss": None}) + line(status(6, "evaluating")) + b'{"t": 3')
    whole, skimmed, tail = RunState(), RunState(), RunState()
    for state, read in (
        (whole, pieces(path, max_bytes=3_000)),
        (skimmed, skim(path)),
        (tail, skim(path, 50_000)),
    ):
        for piece in read:
            state.take(piece)
        assert (state.read, state.left_out) == (path.stat().st_size - len('{"t": 3'), 2)
    told = [{**vars(state), "speeds": None} for state in (whole, skimmed, tail)]
    assert told[0] == told[1] == told[2]
    assert tail.speeds == whole.speeds and len(whole.checkpoints) == 5


def test_why_a_run_failed_is_told_until_it_is_resumed_and_its_warnings_for_good() -> None:
    warning = {"t": 1, "kind": "warning", "code": "slow", "message": "Slow", "advice": "Wait."}
    error = {"t": 1, "kind": "error", "code": "nan-loss", "message": "Not a number", "advice": "Lower it."}

    def notices(*events: dict[str, Any]) -> tuple[list[str], bool]:
        state = RunState()
        for event in events:
            state.feed(cast(Event, event))
        return [one["kind"] for one in state.notices], state.error is not None

    failed = (status(0, "training"), warning, error, status(0, "failed"))
    assert notices(*failed) == (["warning", "error"], True)
    assert notices(*failed, status(0, "training"), status(0, "finished")) == (["warning"], False)
    assert notices(status(0, "training"), error, status(0, "stopped")) == (["error"], True)
    assert notices(*[warning] * 20, *failed[1:])[0] == ["warning", "warning", "error"], "the newest of them"


def test_a_hundred_thousand_events_are_folded_in_little_memory(tmp_path: Path) -> None:
    write_events(tmp_path / "events.jsonl", 100_000)
    run = RunDirectory(tmp_path)
    run.config_path.touch()
    tracemalloc.start()
    try:
        summary = run.summary()
        past = history(run.events_path, prompt="ROMEO:")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (summary.status, summary.step, summary.best_val_loss) == (
        "finished",
        100_000,
        past.evaluations[-1]["val_loss"],
    )
    assert len(past.evaluations) <= 2_001 and 100 <= len(past.samples) <= 201 and past.left_out == 0
    assert peak < 24 << 20, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("training_config:\n  max_steps: 7000  # few\n", 7_000),
        ("training_config:\n  max_steps: 4_000\n  learning_rate: 1e-3\n", None),
        ("training_config: {max_steps: 3000}\n", 3_000),
        ("sampling_config:\n  prompt: |\n    a\n    max_steps: 7\ntraining_config:\n  max_steps: 4000\n", 4_000),
        ('sampling_config:\n  prompt: "a\n  max_steps: 7 "\ntraining_config:\n  max_steps: 5000\n', 5_000),
        ("# nothing\n", 10_000),
    ],
)
def test_the_planned_steps_are_those_of_the_config(tmp_path: Path, text: str, steps: int | None) -> None:
    run = RunDirectory(tmp_path)
    run.config_path.write_text(text, encoding="utf-8")
    plan = run.plan_if_readable()
    assert planned_steps(run) == (plan.training.max_steps if plan else None) == steps


def test_a_terminal_gets_the_newest_of_many_runs_and_a_pipe_all(tmp_path: Path) -> None:
    write_runs(tmp_path / "runs", 60, 20)
    assert len(trickster("runs", tmp_path / "runs").stdout.splitlines()) == 61
    for more, count in (([], 52), (["--all"], 61)):
        code, shown = on_terminal("runs", tmp_path / "runs", *more)
        assert code == 0
        rows = shown.splitlines()
        assert len(rows) == count and rows[-1].startswith("nano-0059")
        assert ("10 older runs" in rows[0]) == (not more)
