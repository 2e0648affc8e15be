"""The watchdog speaks up when a step does not come back, from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_backend import batch
from trickster_engine.backends.ttml import backend as ttml_backend
from trickster_engine.backends.ttml.watchdog import Watchdog
from trickster_engine.system.processes import process_started


def wait_for(path: Path, count: int, seconds: float = 30.0) -> list[dict[str, Any]]:
    """Read events until there are `count`; another process writes them."""
    patience = threading.Event()
    for _ in range(int(seconds / 0.05)):
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        if len(events) >= count:
            return events
        patience.wait(0.05)
    raise AssertionError(f"no {count} events in {seconds} s")


def test_a_step_that_does_not_come_back_is_told(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    watchdog = Watchdog(events, step_seconds=0.1)
    try:
        with watchdog.watching():
            stalled = wait_for(events, 1)[0]
        again = wait_for(events, 2)[1]
    finally:
        watchdog.close()
    assert stalled["kind"] == "warning"
    assert stalled["code"] == "device-stalled"
    assert "has not responded" in stalled["message"]
    assert "tt-smi -r" in stalled["advice"]
    assert "responds again" in again["message"]


def test_steps_that_come_back_are_not_told(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    watchdog = Watchdog(events, step_seconds=20.0)
    for _ in range(50):
        with watchdog.watching():
            pass
    watchdog.close()
    assert not events.exists()


def test_it_ends_with_the_run() -> None:
    code = (
        "from trickster_engine.backends.ttml.watchdog import Watchdog\n"
        "watchdog = Watchdog()\n"
        "with watchdog.watching():\n"
        "    print(watchdog._process.pid, flush=True)\n"
        "    __import__('os').kill(__import__('os').getpid(), 9)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    pid = int(answer.stdout)  # its stderr is ours, so that `run` has waited for it to close
    patience = threading.Event()
    for _ in range(200):
        if process_started(pid) is None:
            break
        patience.wait(0.05)
    assert process_started(pid) is None


def test_a_device_that_hangs_in_a_run(
    double: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    double(hang_at="forward:2", hang_seconds=3.0)
    monkeypatch.setattr(ttml_backend, "Watchdog", lambda path: Watchdog(path, step_seconds=0.3))
    events = tmp_path / "events.jsonl"
    backend = ttml_backend.TtmlBackend(plan(), report=lambda _: None, stall_events=events)
    try:
        backend.step([batch()], 1.0)
    finally:
        backend.close()
    assert [event["code"] for event in wait_for(events, 1)][:1] == ["device-stalled"]
