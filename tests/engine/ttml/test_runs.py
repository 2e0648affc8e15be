"""Whole runs on the double, from the command line: train, stop, resume on another device, and back again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.conftest import BUILD, DOUBLE

CONFIG = """
model_config: {vocab_size: 256, hidden_dim: 64, num_layers: 1, num_heads: 2, mlp_dim: 64, max_seq_len: 32, dropout: 0.0}
training_config:
  batch_size: 4
  gradient_accumulation_steps: 1
  max_steps: 12
  warmup_steps: 2
  log_interval: 4
  eval_interval: 6
  save_interval: 6
device_config: {device_type: tt}
data_config: {corpus: text.txt}
output_config: {output_dir: runs}
sampling_config: {prompt: "the ", max_new_tokens: 8}
"""


class Workplace:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = (f"the cat sat on mat {number * 7919} and looked at the other cat. " for number in range(60))
        (folder / "text.txt").write_text("".join(lines))
        (folder / "run.yaml").write_text(CONFIG)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(DOUBLE / "packages"), str(DOUBLE.parents[1])]),
            "OMP_NUM_THREADS": "1",
            "TTML_DOUBLE_BOARD": str(folder / "board"),
            "TRICKSTER_CACHE_DIR": str(folder / "cache"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def start(self, *arguments: str, **variant: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "trickster_engine", *arguments],
            cwd=self.folder,
            env={**self.environment, "TTML_DOUBLE": json.dumps({**BUILD, **variant})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **variant: Any) -> tuple[int, str]:
        process = self.start(*arguments, **variant)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    @property
    def path(self) -> Path:
        return next((self.folder / "runs").glob("run-*"))

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.path / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def board(self) -> str:
        return (self.folder / "board" / "state").read_text()


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_train_then_go_on_on_a_cpu_and_back(workplace: Workplace) -> None:
    code, said = workplace.run("train", "run.yaml", stochastic_rounding=False)
    assert code == 0, said
    assert workplace.board() == "closed"
    identity = json.loads((workplace.path / "run.json").read_text())
    assert identity["backend"] == "ttml"
    assert "Compiling kernels" in " ".join(event["message"] or "" for event in workplace.events("status"))
    assert "ttml-norms-decay" in {event["code"] for event in workplace.events("warning")}
    first, last = workplace.events("eval")[0]["val_loss"], workplace.events("eval")[-1]["val_loss"]
    assert last < first - 0.2
    speeds = [event["tokens_per_s"] for event in workplace.events("step")]
    assert speeds

    for device, steps in (("cpu", "18"), ("tt", "24")):
        code, said = workplace.run(
            "resume", str(workplace.path), "--set", f"device_config.device_type={device}",
            "--set", f"training_config.max_steps={steps}",
        )  # fmt: skip
        assert code == 0, said
        assert workplace.events("eval")[-1]["step"] == int(steps)
        assert workplace.events("eval")[-1]["val_loss"] < last + 0.05
        last = workplace.events("eval")[-1]["val_loss"]
    codes = [event["code"] for event in workplace.events("warning")]
    assert "optimizer-state-lost" not in codes
    assert "resume-not-bit-for-bit" in codes
    code, said = workplace.run("sample", str(workplace.path), "--prompt", "the ")
    assert code == 0, said


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_stop_saves_and_closes(workplace: Workplace) -> None:
    (workplace.folder / "run.yaml").write_text(CONFIG.replace("max_steps: 12", "max_steps: 100000"))
    with workplace.start("train", "run.yaml", "--json") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"step"' in line and json.loads(line).get("kind") == "step":
                break
        assert workplace.board() == "open"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert workplace.board() == "closed"
    assert workplace.events("status")[-1]["status"] == "stopped"
    assert workplace.events("checkpoint")


@pytest.mark.parametrize("place", ["open:1", "forward:1", "forward:9", "step:6", "to_numpy:60"])
def test_a_failure_at_any_point_closes(workplace: Workplace, place: str) -> None:
    code, said = workplace.run("train", "run.yaml", fail_at=place)
    assert code != 0
    assert "the double fails" in said or "unexpected" in said
    assert workplace.board() == "closed"


def test_a_config_that_the_board_cannot_do_is_refused_before_it_is_opened(workplace: Workplace) -> None:
    (workplace.folder / "run.yaml").write_text(CONFIG.replace("max_seq_len: 32", "max_seq_len: 40"))
    code, said = workplace.run("train", "run.yaml")
    assert code != 0
    assert "multiple of 32" in said
    assert not (workplace.folder / "board").exists()
