"""A run in several sittings: its time is that of training, and a run that was stopped early can be kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.training.test_processes import AtStep, begin_watched
from tools import recorded_runs
from trickster_engine.evaluation.report import history as history_module
from trickster_engine.evaluation.report.history import History, history
from trickster_engine.runs import EventLog, RunDirectory, read_events
from trickster_engine.runs.event_types import Event, Status
from trickster_engine.training.start import resume

Config = Callable[..., Path]


def status(t: float, phase: Status, step: int) -> Event:
    return {"t": t, "kind": "status", "status": phase, "step": step, "message": None}


def made(t: float, step: int, loss: float = 2.0) -> Event:
    return {
        "t": t, "kind": "step", "step": step, "loss": loss, "lr": 1e-3, "grad_norm": 1.0,
        "tokens_per_s": 100.0, "eta_s": None, "mfu": None,
    }  # fmt: skip


def saved(t: float, step: int) -> Event:
    path = f"checkpoints/step-{step:06d}"
    return {"t": t, "kind": "checkpoint", "step": step, "path": path, "val_loss": None, "best": False}


def begun(t: float, step: int) -> list[Event]:
    """A process that takes ten seconds to load before it trains."""
    return [status(t, "starting", step), status(t + 1, "preparing", step), status(t + 10, "training", step)]


@pytest.fixture
def past(tmp_path: Path) -> Callable[[list[Event]], History]:
    """What led to the newest checkpoint of a run with these events."""

    def fold(events: list[Event]) -> History:
        path = tmp_path / "events.jsonl"
        log = EventLog(path)
        for event in events:
            log.write(event)
        log.close()
        return history(path, saved_only=True)

    return fold


Past = Callable[[list[Event]], History]


def test_an_unbroken_run_takes_as_long_as_it_trained(past: Past) -> None:
    events = [*begun(0, 0), made(15, 5), saved(20, 10), status(21, "finished", 10)]
    found = past(events)
    assert (found.saved_step, found.seconds, found.sittings) == (10, 11, 1)
    assert found.steps == [made(15, 5)]
    assert (found.step, found.left_out) == (10, 0)


def test_pauses_are_not_training(past: Past) -> None:
    """Stopped after ten seconds of training, gone for a day, and five seconds more."""
    first = [*begun(0, 0), made(15, 5), saved(19, 6), status(20, "stopped", 6)]
    second = [*begun(86_400, 6), made(86_412, 8), saved(86_414, 10), status(86_415, "finished", 10)]
    found = past([*first, *second])
    assert (found.saved_step, found.seconds, found.sittings) == (10, 15, 2)


def test_what_a_killed_process_lost_is_counted_once(past: Past) -> None:
    """Killed at step 9 with a checkpoint of step 6: the steps 7 to 9 are made again, the time was spent twice."""
    first = [*begun(0, 0), made(15, 6), saved(16, 6), made(20, 9, loss=1.0)]
    second = [*begun(1000, 6), made(1012, 8), saved(1013, 8)]
    found = past([*first, *second])
    assert (found.seconds, found.sittings) == (13, 2)
    assert [event["step"] for event in found.steps] == [6, 8]


def test_what_came_after_the_newest_checkpoint_is_left_out(past: Past) -> None:
    lost = [made(20, 9), *begun(500, 6), made(520, 8)]
    found = past([*begun(0, 0), made(15, 6), saved(16, 6), *lost])
    assert (found.saved_step, found.seconds, found.sittings) == (6, 6, 1)
    assert [event["step"] for event in found.steps] == [6]


def evaluated(t: float, step: int, loss: float) -> Event:
    return {"t": t, "kind": "eval", "step": step, "train_loss": loss, "val_loss": loss, "perplexity": 2.0}


def test_a_long_run_is_thinned_and_its_best_and_last_stay(monkeypatch: pytest.MonkeyPatch, past: Past) -> None:
    monkeypatch.setattr(history_module, "EVALUATIONS", 20)
    losses = {step: 1.0 if step == 333 else 3.0 - step / 1000 for step in range(1, 1001)}
    found = past(
        [*begun(0, 0), *(evaluated(10 + step, step, loss) for step, loss in losses.items()), saved(2000, 1000)]
    )
    steps = [event["step"] for event in found.evaluations]
    assert {1, 333, 1000} <= set(steps) and steps == sorted(set(steps)) and 10 <= len(steps) <= 22
    thinned = [step for step in steps[:-1] if step != 333]
    gaps = {after - before for before, after in itertools.pairwise(thinned)}
    assert len(gaps) == 1, "evenly spread"
    # Resumed from a checkpoint before the best: that is lost, and made again.
    again = [*begun(3000, 300), *(evaluated(3010 + step, step, 2.5) for step in range(301, 311)), saved(4000, 310)]
    found = past(again)
    assert found.evaluations[-1]["step"] == 310
    assert min(found.evaluations, key=lambda event: event["val_loss"])["val_loss"] == 2.5


def test_a_run_stopped_between_evaluations_and_resumed_is_kept_as_it_was(
    tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(training_config={"max_steps": 40, "eval_interval": 8, "save_interval": 8, "log_interval": 1})
    run = RunDirectory(tmp_path / "runs" / "tiny-001")
    assert begin_watched(config, run.path, AtStep(5, lambda run: run.request_stop())) == "stopped"
    first = read_events(run.events_path)[0]
    again = AtStep(18, lambda run: run.request_stop())
    assert resume(run, watchers=[again], show_progress=False) == "stopped"
    events = read_events(run.events_path)[0]

    kept = recorded_runs.keep(run, "a machine for tests")
    done = kept["curve"][-1]["step"]
    assert [point["step"] for point in kept["curve"]] == [0, 8, 16, done]
    assert 18 <= done < 24
    assert kept["sittings"] == 2
    together = sum(_trained(sitting) for sitting in (first, events[len(first) :]))
    assert kept["seconds"] == pytest.approx(together, abs=0.06)
    assert events[-1]["t"] - first[0]["t"] > together  # loading took time, and is no training
    # The last point was measured for keeping, as training would have done it.
    assert kept["curve"][-1]["val_loss"] == pytest.approx(kept["proof"]["rows"][-1]["nats"], abs=1e-3)
    assert kept["samples"][-1]["step"] == done
    steps = [step["step"] for step in kept["steps"]]
    assert steps == sorted(set(steps))

    (tmp_path / "tiny.json").write_text(json.dumps(kept), encoding="utf-8")
    kinds = ("time", "curve", "claim")
    page = recorded_runs.render(
        "".join(f"<!-- kept: tiny {kind} -->\n<!-- /kept -->\n" for kind in kinds), tmp_path
    ).replace("\n", " ")
    assert f"{done:,} of the 40 steps of tiny" in page
    assert "of training (resumed once)" in page
    assert "all 40 would take" in page
    assert "We stopped it there, before its 40 steps were done" in page
    assert f"was at {kept['curve'][-1]['val_loss']:.3f} after {done} of the 40 steps" in page
    capsys.readouterr()


def _trained(sitting: list[Event]) -> float:
    begin = next(event["t"] for event in sitting if event["kind"] == "status" and event["status"] == "training")
    return sitting[-1]["t"] - begin


def test_a_run_without_a_checkpoint_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not a run that has begun"):
        recorded_runs.keep(RunDirectory(tmp_path), "a machine")
