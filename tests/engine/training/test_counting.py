"""n-grams of a longer text are counted beside training: nothing waits for them, and nothing changes by them."""

from __future__ import annotations

import math
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engine.training.reading import of_kind
from tests.engine.training.stopping import stopped_after
from tests.engine.training.test_loop import train
from trickster_engine.cli.console import ConsoleWatcher
from trickster_engine.config.plan import DataConfig, ModelConfig, Plan
from trickster_engine.data import background_counting
from trickster_engine.data.background_counting import Counting
from trickster_engine.data.baselines import Baseline, ngram_baselines
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.prepare import prepare
from trickster_engine.runs.state import state_at, summarize
from trickster_engine.system.programs import python_command
from trickster_engine.training.start import resume

Config = Callable[..., Path]


def _fixed(baselines: list[Baseline]) -> dict[str, float]:
    return {baseline.name: baseline.nats for baseline in baselines if not baseline.dynamic}


def _dataset(config: Path) -> Dataset:
    plan = Plan(model=ModelConfig(max_seq_len=16), data=DataConfig(corpus="play.txt"))
    return prepare(plan, config.parent, progress=False)


def test_a_run_counts_beside_training_once_and_trains_the_same(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once, _, known_events = train(tiny_config())
    assert not of_kind(known_events, "baselines")
    expected = _fixed(ngram_baselines(_dataset(tiny_config())))
    identity = at_once.identity()
    assert identity is not None and identity.baselines == expected

    dataset = _dataset(tiny_config())
    for kept in dataset.directory.glob("baselines-*"):
        kept.unlink()
    monkeypatch.setattr(background_counting, "AT_ONCE", 0)
    beside, _, events = train(tiny_config())
    identity = beside.identity()
    assert identity is not None and identity.baselines == {"uniform": expected["uniform"]}
    (counted,) = of_kind(events, "baselines")
    assert counted["nats"] == pytest.approx(expected)
    row = f"| unigram | {expected['unigram']:.4f} | {expected['unigram'] / math.log(2):.4f} |"
    assert row in (beside.path / "final/README.md").read_text(encoding="utf-8")
    assert summarize(beside).baselines == state_at(beside.events_path).baselines == counted["nats"]
    for kind, figure in (("eval", "val_loss"), ("step", "loss")):
        before, after = ([one[figure] for one in of_kind(each, kind)] for each in (known_events, events))
        assert before == after
    watcher = ConsoleWatcher()
    for event in events:
        watcher.event(event)
    watcher.close()
    assert f"Baselines: uniform (ln V) 5.545  unigram {expected['unigram']:.3f}" in capsys.readouterr().out
    # The next run finds them.
    third, _, events = train(tiny_config())
    identity = third.identity()
    assert identity is not None and identity.baselines == pytest.approx(expected)
    assert not of_kind(events, "baselines")


def test_a_run_that_was_killed_before_gets_its_baselines_when_it_is_resumed(
    tiny_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_counting, "AT_ONCE", 0)
    monkeypatch.setattr(Counting, "take", lambda self, wait=False: None)  # it never heard of them
    run, _, _ = train(tiny_config(training_config={"max_steps": 4}))
    monkeypatch.undo()
    assert list(summarize(run).baselines) == ["uniform"]
    resume(run, {"training_config.max_steps": "8"}, [], show_progress=False)
    assert summarize(run).baselines == pytest.approx(_fixed(ngram_baselines(_dataset(tiny_config()))))


def test_counting_ends_with_the_process_that_began_it(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config()
    chance = np.random.default_rng(1)
    (config.parent / "play.txt").write_bytes(chance.integers(32, 127, 6_000_000).astype(np.uint8).tobytes())
    dataset = _dataset(config)
    counting = Counting(dataset, 256)
    assert list(counting.known) == ["uniform"]
    counting.begin()
    counting.close()
    assert counting.take(wait=True) is None
    assert "counting" not in {thread.name for thread in threading.enumerate()}
    # Where the trainer is killed, nobody closes anything: the pipe ends.
    command = python_command(background_counting.__name__, dataset.directory, "256")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        assert process.wait(60) == 1
        assert process.stdout.read() == b""


def test_only_a_run_that_has_finished_waits_for_counting(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[bool] = []
    take = Counting.take

    def noted(self: Counting, *, wait: bool = False) -> dict[str, float] | None:
        waited.append(wait)
        return take(self, wait=wait)

    monkeypatch.setattr(Counting, "take", noted)
    with stopped_after(2):
        train(tiny_config())
    assert waited and not any(waited)
    train(tiny_config())
    assert waited[-1] is True
