"""However a run ends, the device is closed: a real board that is left open is wedged until it is reset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.conftest import BUILD, DOUBLE
from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_backend import batch
from tests.refusals import refused
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.errors import TricksterError

PLACES = ["open:1", "model:1", "forward:1", "loss:1", "backward:1", "to_numpy:1", "to_numpy:2", "step:1"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mesh_api", [True, False], ids=["mesh", "context"])
def test_a_failure_while_opening(double: Callable[..., Any], place: str, mesh_api: bool) -> None:
    ttml = double(fail_at=place, open_device_mesh=mesh_api)
    context = ttml.autograd.AutoContext.get_instance()
    with pytest.raises((TricksterError, RuntimeError), match="the double fails"):
        TtmlBackend(plan(grad_clip=0), report=lambda _: None)
    assert context.opened == context.closed == 1
    assert context.alive_at_close == 0


@pytest.mark.parametrize("place", ["forward:3", "loss:3", "backward:3", "step:3"])
def test_a_failure_while_training(double: Callable[..., Any], place: str) -> None:
    ttml = double(fail_at=place)
    backend = TtmlBackend(plan(), report=lambda _: None)
    with pytest.raises(RuntimeError, match="the double fails"):
        try:
            for step in range(4):
                backend.step([batch(seed=step)], 1.0)
        finally:
            backend.close()
    context = ttml.autograd.AutoContext.get_instance()
    assert context.opened == context.closed == 1
    assert context.alive_at_close == 0


def test_nothing_on_the_device_outlives_it(double: Callable[..., Any]) -> None:
    for variant in ({}, {"python_llama": False}, {"stochastic_rounding": False}):
        ttml = double(**variant)
        backend = TtmlBackend(plan(), report=lambda _: None)
        backend.step([batch()], 1.0)
        backend.evaluate([batch()])
        backend.load(backend.weights(), backend.optimizer_state(), backend.random_state())
        backend.close()
        assert ttml.autograd.AutoContext.get_instance().alive_at_close == 0


def test_a_close_that_fails_is_tried_another_way_and_never_raises(double: Callable[..., Any]) -> None:
    ttml = double(fail_at="close:1")
    backend = TtmlBackend(plan(), report=lambda _: None)
    backend.close()
    backend.close()
    context = ttml.autograd.AutoContext.get_instance()
    assert context.opened == context.closed == 1
    with pytest.raises(RuntimeError, match="closed"):
        backend.weights()


def test_signal_handlers_are_given_back(double: Callable[..., Any]) -> None:
    double()
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    backend = TtmlBackend(plan(), report=lambda _: None)
    assert signal.getsignal(signal.SIGTERM) != before[0]
    backend.close()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_handlers_of_others_are_left_alone(double: Callable[..., Any]) -> None:
    double()
    before = signal.getsignal(signal.SIGTERM)
    received: list[int] = []
    handler = lambda number, _frame: received.append(number)  # noqa: E731 - compared by identity below
    signal.signal(signal.SIGTERM, handler)
    try:
        backend = TtmlBackend(plan(), report=lambda _: None)
        assert signal.getsignal(signal.SIGTERM) is handler
        os.kill(os.getpid(), signal.SIGTERM)
        backend.step([batch()], 1.0)
        backend.close()
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]


def test_a_signal_that_was_swallowed_ends_the_next_step(double: Callable[..., Any]) -> None:
    double()
    backend = TtmlBackend(plan(), report=lambda _: None)
    try:
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            backend.step([batch()], 1.0)
    finally:
        backend.close()
    assert ended.value.code == 128 + signal.SIGTERM


SCRIPT = textwrap.dedent("""
    import signal, sys
    import torch
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    torch.set_num_threads(1)
    from tests.engine.ttml.plans import plan
    from tests.engine.ttml.test_backend import batch
    from trickster_engine.backends.ttml.backend import TtmlBackend
    phase = sys.argv[1]
    def told(line):
        if phase in line:
            print("here", flush=True)
    backend = TtmlBackend(plan(), report=told)
    try:
        print("here" if phase == "steps" else "open", flush=True)
        step = 0
        while True:
            backend.step([batch(seed=step)], 1.0)
            step += 1
    finally:
        backend.close()
""")


def start(tmp_path: Path, phase: str, **variant: Any) -> subprocess.Popen[str]:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    return subprocess.Popen(
        [sys.executable, str(script), phase],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(DOUBLE / "packages"), str(DOUBLE.parents[1])]),
            "TTML_DOUBLE": json.dumps({**BUILD, **variant}),
            "TTML_DOUBLE_BOARD": str(tmp_path / "board"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("phase", ["Compiling", "steps"])
def test_a_signal_at_any_point(tmp_path: Path, phase: str, number: signal.Signals) -> None:
    with start(tmp_path, phase) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == "here":
                    break
            assert (tmp_path / "board" / "state").read_text() == "open"
            process.send_signal(number)
            process.wait(timeout=60)
        finally:
            process.kill()
        assert "left open" not in process.stdout.read()
    assert process.returncode != 0
    assert (tmp_path / "board" / "state").read_text() == "closed"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_after_a_kill_the_device_can_be_opened_again(
    double: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can close a device for a process that is killed outright; nobody must be locked out by it, though."""
    with start(tmp_path, "steps") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "here":
                break
        process.kill()
        process.wait(timeout=60)
    monkeypatch.setenv("TTML_DOUBLE_BOARD", str(tmp_path / "board"))
    double()
    TtmlBackend(plan(), report=lambda _: None).close()
    assert (tmp_path / "board" / "state").read_text() == "closed"


def test_a_device_that_somebody_else_holds(
    double: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("locks of POSIX")
    import fcntl

    board = tmp_path / "board"
    board.mkdir()
    monkeypatch.setenv("TTML_DOUBLE_BOARD", str(board))
    with (board / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        double()
        with refused("device-not-opened", "another process holds the device") as caught:
            TtmlBackend(plan(), report=lambda _: None)
    assert "trickster doctor" in caught.value.advice
