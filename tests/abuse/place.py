"""A place to do harm in: a tiny config, its prepared text, the run that nothing disturbs, and what two runs share."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.abuse.faults import Answer, Fault, Host, read_trace
from tests.engine.conftest import TINY, dialogue

#: Small enough that a run takes a third of a second. It saves on its way, saves its best and drops old checkpoints.
CHANGES: dict[str, dict[str, Any]] = {
    "model_config": {"hidden_dim": 16, "num_layers": 1, "mlp_dim": 32, "max_seq_len": 16},
    "training_config": {"max_steps": 10, "save_interval": 2, "eval_interval": 4, "log_interval": 1},
    "sampling_config": {"max_new_tokens": 2},
}
LAST_STEP = 10
#: What differs between two runs that are the same: times, and sums of lines with times in them.
TIMES = ("t", "tokens_per_s", "eta_s", "mfu", "sum")
#: Files below a checkpoint that must be the same to the bit.
STATE_FILES = ("model.safetensors", "trainer/optimizer.safetensors", "trainer/random.safetensors")


def write_config(folder: Path, **changes: dict[str, Any]) -> Path:
    """`play.txt` and `tiny.yaml` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "play.txt").write_text(dialogue(6000), encoding="utf-8")
    lines = []
    for section, values in TINY.items():
        merged = {**values, **CHANGES.get(section, {}), **changes.get(section, {})}
        lines.append(f"{section}:\n" + "".join(f"  {key}: {json.dumps(value)}\n" for key, value in merged.items()))
    path = folder / "tiny.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    return path


@dataclass
class Story:
    """What a run has come to, without the times: two runs are the same where their stories are."""

    events: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)

    def differences(self, other: Story) -> list[str]:
        """Where another story differs from this one."""
        found = []
        for name in ("events", "sums", "states"):
            ours, theirs = getattr(self, name), getattr(other, name)
            for key in sorted({*ours, *theirs}):
                if ours.get(key) != theirs.get(key):
                    found.append(f"{name}: {key}: {_short(ours.get(key))} became {_short(theirs.get(key))}")
        return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 200 else text[:200] + "…"


def events_of(run: Path) -> list[dict[str, Any]]:
    """The whole lines of `events.jsonl`, read without the product's reader."""
    try:
        data = (run / "events.jsonl").read_bytes()
    except FileNotFoundError:
        return []
    events = []
    for line in data[: data.rfind(b"\n") + 1].splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def story_of(run: Path, checkpoints: Path | None = None) -> Story:
    """The story that a run directory tells: events, weights, optimizer, random state, pointers, final weights."""
    story = Story()
    for event in events_of(run):
        kind, step = event.get("kind"), event.get("step")
        if kind in ("step", "eval", "sample", "checkpoint"):
            story.events[f"{kind} {step}"] = {key: value for key, value in event.items() if key not in TIMES}
        elif kind == "status":
            story.events["status"] = [event.get("status"), step]
    folder = checkpoints or run / "checkpoints"
    for checkpoint in sorted(folder.glob("step-*")):
        for name in STATE_FILES:
            story.sums[f"{checkpoint.name}/{name}"] = file_sum(checkpoint / name)
        story.states[checkpoint.name] = read_json(checkpoint / "trainer/state.json")
    story.sums["final"] = file_sum(run / "final/model.safetensors")
    for name in ("best.json", "latest.json"):
        story.states[name] = read_json(run / name)
    return story


def file_sum(path: Path) -> str:
    """SHA-256 of a file, or a word where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return type(error).__name__


def read_json(path: Path) -> Any:
    """A JSON file's value, or a word where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return type(error).__name__


def saved_steps(events: Iterable[dict[str, Any]]) -> list[int]:
    """The steps that were said to be saved."""
    return [event["step"] for event in events if event.get("kind") == "checkpoint"]


class Place:
    """A folder with a config, and a host whose commands run there."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder, self.host = folder, host
        self.config = write_config(folder)
        self.runs = folder / "runs"
        self.run = self.runs / "tiny-001"
        answer = host.run("prepare", self.config, "--json", cwd=folder)
        assert answer.code == 0, answer.err
        self.undisturbed_s = self._measure()
        self.reference = story_of(self.run)
        assert self.reference.events["status"] == ["finished", LAST_STEP]

    def _measure(self) -> float:
        self.clear()
        answer = self.train()
        assert answer.code == 0, answer.err
        return answer.seconds

    def clear(self) -> None:
        """No runs."""
        shutil.rmtree(self.runs, ignore_errors=True)

    def train(self, fault: Fault | None = None, **options: Any) -> Answer:
        """Train the config from its beginning."""
        return self.host.run("train", self.config, "--json", fault=fault, cwd=self.folder, **options)

    def resume(self, fault: Fault | None = None, run: Path | None = None, **options: Any) -> Answer:
        """Go on with the run."""
        return self.host.run("resume", run or self.run, "--json", fault=fault, cwd=self.folder, **options)

    def stop_in_evaluation(self) -> None:
        """A run that was asked to stop in the middle of its evaluation at step 4: it saves, and saves that again."""
        self.clear()
        trace = self.folder / "trace"
        trace.unlink(missing_ok=True)
        events = Fault([self.run / "events.jsonl"], ["write"], trace=trace)
        assert self.train(events).code == 0
        written = events_of(self.run)
        at = next(i for i, e in enumerate(written) if e.get("status") == "evaluating" and e["step"] == 4)
        assert len(read_trace(trace)) == len(written)
        self.clear()
        answer = self.train(Fault(events.under, events.ops, at=at + 1, mode="stop"))
        assert answer.stopped, answer.err
        (self.run / "stop").write_text("now\n", encoding="utf-8")
        answer = self.host.go_on()
        assert answer.code == 3, answer.err
        state = read_json(self.run / "checkpoints/step-000004/trainer/state.json")
        assert state["last_eval_step"] == 0, state
