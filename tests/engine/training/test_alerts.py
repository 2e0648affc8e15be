"""Alerts: each rule on a series that provokes it, and a real run that tells a webhook and a command."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.engine.config.support import codes_of
from tests.refusals import refused
from trickster_engine.cli import main
from trickster_engine.config.keys.alerts import AlertsConfig
from trickster_engine.runs.event_types import StepEvent
from trickster_engine.training import alert_messages
from trickster_engine.training.alerts import Alerts

Config = Callable[..., Path]
ROOT = Path(__file__).parents[3]


def step_event(step: int, loss: float = 1.0, speed: float = 1000.0, norm: float = 1.0) -> StepEvent:
    return StepEvent(
        t=time.time(),
        kind="step",
        step=step,
        loss=loss,
        lr=1e-3,
        grad_norm=norm,
        tokens_per_s=speed,
        eta_s=None,
        mfu=None,
    )


def said(alerts: Alerts, events: Iterable[StepEvent]) -> list[tuple[int, str]]:
    """The steps at which something was said, and its code."""
    return [(event["step"], note.code) for event in events for note in alerts.step(event)]


def test_each_rule_speaks_once_and_again_when_it_was_over() -> None:
    free = [10_000_000_000]
    rules = AlertsConfig(loss_stuck_steps=30, slow_below=0.5, grad_norm_above=10, min_free_gb=5, gap_evaluations=2)
    new = lambda: Alerts(rules, lambda: free[0])  # noqa: E731
    falling = [step_event(at, loss=5 - at / 100) for at in range(0, 100, 10)]
    assert said(new(), falling) == []
    stuck = [*falling, *(step_event(at, loss=4.5) for at in range(100, 160, 10)), step_event(160, loss=4.0)]
    again = [step_event(at, loss=4.2) for at in range(170, 210, 10)]
    assert said(new(), [*stuck, *again]) == [(120, "alert-loss-stuck"), (190, "alert-loss-stuck")]
    # A single slow lap is nothing; three are, and then nothing more until it was fast again.
    speeds = [1000] * 8 + [400] + [1000] * 3 + [400] * 6 + [900] + [300] * 3
    slow = [step_event(at, loss=1 / (at + 1), speed=speed) for at, speed in enumerate(speeds)]
    assert said(new(), slow) == [(14, "alert-slow"), (21, "alert-slow")]
    norms = [1.0, 2.0] * 4 + [9.0, 20.0, 400.0, 1.0, 30.0]
    grown = [step_event(at, loss=1 / (at + 1), norm=norm) for at, norm in enumerate(norms)]
    assert said(new(), grown) == [(10, "alert-grad-norm"), (12, "alert-grad-norm")]
    filling = new()
    assert said(filling, falling[:2]) == []
    free[0] = 4_900_000_000
    assert said(filling, falling[2:]) == [(20, "alert-disk")]
    gap = new()
    losses = [(3.0, 3.1), (2.0, 2.3), (1.5, 2.2), (1.2, 2.25), (1.0, 2.3), (0.9, 2.35), (0.9, 2.1)]
    assert [len(gap.evaluation(*one)) for one in losses] == [0, 0, 0, 0, 1, 0, 0]
    nothing = Alerts(AlertsConfig(), lambda: 0)
    assert said(nothing, [*stuck, *slow, *grown]) == []
    assert [note for one in losses for note in nothing.evaluation(*one)] == []


@pytest.mark.parametrize(("name", "expected"), [("pico", []), ("best", []), ("nano", [2145, 2721])])
def test_of_the_kept_runs_only_the_one_that_slowed_down_gives_alerts(name: str, expected: list[int]) -> None:
    kept = json.loads((ROOT / "walkthroughs" / "runs" / f"{name}.json").read_text(encoding="utf-8"))
    alerts = Alerts(AlertsConfig(loss_stuck_steps=1000, slow_below=0.5, gap_evaluations=10), lambda: None)
    events = [step_event(one["step"], one["loss"], one["tokens_per_s"]) for one in kept["steps"]]
    assert said(alerts, events) == [(step, "alert-slow") for step in expected]
    assert [note for one in kept["curve"] for note in alerts.evaluation(one["train_loss"], one["val_loss"])] == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://example.org/hook?key=1", True),
        ("http://127.0.0.1:8080/x", True),
        ("http://[::1]:9/x", True),
        ("http://localhost/x", True),
        ("http://example.org/x", False),
        ("http://127.0.0.1.example.org/", False),
        ("http://127.0.0.1@example.org/", False),
        ("http://[::1].example.org/", False),  # a name for whoever connects
        ("http://[::1%25eth0.example.org]/", False),
        ("https://name:word@example.org/", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://example.org:port/", False),
        ("hook", False),
    ],
)
def test_a_webhook_is_https_or_on_this_machine(address: str, allowed: bool) -> None:
    assert codes_of(f"alerts_config:\n  webhook: '{address}'\n") == ([] if allowed else ["webhook-not-private"])


class Hook(HTTPServer):
    """A webhook that keeps what it is sent, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.arrived, self.may_answer = threading.Event(), threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Keep(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["Content-Type"], json.loads(body)))
        self.server.arrived.set()
        self.server.may_answer.wait(30)
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_run_tells_a_webhook_and_a_command_and_waits_for_neither(
    tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alert_messages, "_LAST_SECONDS", 0.2)
    hook = Hook()
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\npathlib.Path(sys.argv[1]).open('a').write(sys.stdin.read() + '\\n')\n", encoding="utf-8"
    )
    written = tmp_path / "it is said.txt"
    alerts = {"min_free_gb": 1e6, "loss_stuck_steps": 6, "webhook": f"http://127.0.0.1:{hook.server_port}/alerts"}
    training = {"max_steps": 24, "learning_rate": 1e-12, "muon_learning_rate": 1e-12, "min_learning_rate": 0.0}
    path = tiny_config(alerts_config=alerts, training_config=training)
    command = " ".join(f'"{one}"' for one in (sys.executable, program, written))
    try:
        # The webhook does not answer before the run has ended, and nothing waits for it.
        assert main(["train", str(path), "--on-alert", command]) == 0
        assert hook.arrived.wait(20)
    finally:
        hook.may_answer.set()
        hook.shutdown()
        hook.server_close()
    run = path.parent / "runs" / "tiny-001"
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    codes = [event["code"] for event in events if event["kind"] == "warning" and event["code"].startswith("alert-")]
    assert codes[0] == "alert-disk" and "alert-loss-stuck" in codes
    kind, alert = hook.got[0]
    assert kind == "application/json"
    assert (alert["run"], alert["path"], alert["code"]) == ("tiny-001", str(run.resolve()), "alert-disk")
    deadline = time.monotonic() + 30
    while not (written.exists() and written.read_text(encoding="utf-8").endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert json.loads(written.read_text(encoding="utf-8").splitlines()[0])["code"] == "alert-disk"
    capsys.readouterr()
    assert main(["runs", str(run.parent), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert next(one["code"] for one in listed["notices"]) == "alert-disk"


def test_a_command_that_is_not_there_is_said_before_training(tiny_config: Config) -> None:
    path = tiny_config()
    assert main(["train", str(path), "--on-alert", "no-such-program-here --x"]) == 1
    assert not (path.parent / "runs").exists()
    with refused("alert-command-missing"):
        alert_messages.command_of('"')
    # Nothing of it is a shell's.
    assert alert_messages.command_of(f'"{sys.executable}" -c "a; b" $HOME')[1:] == ["-c", "a; b", "$HOME"]
