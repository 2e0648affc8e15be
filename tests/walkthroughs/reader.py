"""Someone with a folder and a terminal in it, who types what the pages say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.engine.conftest import TINY, dialogue
from trickster_engine.config import set_values
from trickster_engine.errors import EXIT_STOPPED
from trickster_engine.runs import RunDirectory, find_runs, read_events

#: What makes the lesson's run small enough to be done in a test. It goes on until it is stopped.
SMALL = {
    f"{section}.{key}": str(value).lower() if isinstance(value, bool) else str(value)
    for section, values in TINY.items()
    for key, value in values.items()
    if section in ("model_config", "training_config", "device_config")
} | {
    "data_config.corpus": "play.txt",
    "sampling_config.max_new_tokens": "40",
    "training_config.max_steps": "1000000",
    "training_config.eval_interval": "100",
    "training_config.save_interval": "100",
}
PATIENCE = 240.0


class Done(NamedTuple):
    code: int
    output: str
    complaints: str


class Reader:
    """One who trains one preset, made small, and leaves it running in a terminal of its own until it is stopped."""

    def __init__(self, folder: Path, preset: str, config: str) -> None:
        self.folder = folder
        self.preset, self.config = preset, config
        self.training: subprocess.Popen[str] | None = None
        (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
        (folder / "letters.txt").write_text(dialogue(20_000, seed=3), encoding="utf-8")
        tool = folder / "bin" / "trickster"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m trickster_engine "$@"\n', encoding="utf-8")
        tool.chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}",
            "TRICKSTER_CACHE_DIR": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def type(self, line: str) -> Done:
        """One line. What trains goes on in the background, as it would in a terminal of its own."""
        if line == "trickster break":  # as small as the rest; it comes to its end
            small = {**SMALL, "training_config.max_steps": "20", "training_config.eval_interval": "10"}
            line = " ".join([line, *(f"--set {key}={value}" for key, value in small.items())])
        if line.startswith(("trickster train", "trickster resume")):
            return self._train(line)
        if line.startswith("trickster stop"):
            done = self._end(self._start(line))
            trained = self._end(self.training)
            assert trained.code == EXIT_STOPPED, trained.complaints
            self.training = None
            return done
        done = self._end(self._start(line))
        if line == f"trickster presets {self.preset} > {self.config}":
            config = self.folder / self.config
            config.write_text(set_values(config.read_text(encoding="utf-8"), SMALL), encoding="utf-8")
        return done

    def press_control_c(self) -> Done:
        if sys.platform == "win32":
            raise NotImplementedError("process groups of POSIX")
        assert self.training is not None
        os.killpg(self.training.pid, signal.SIGINT)
        done, self.training = self._end(self.training), None
        return done

    def _train(self, line: str) -> Done:
        before = {run: self._steps(run) for run in self._runs()}
        left, self.training = self.training, self._start(line)
        training = self.training
        if "max_steps=" in line:  # it comes to its end
            done, self.training = self._end(training), left
            return done
        self._until(lambda: any(self._steps(run) > before.get(run, 0) for run in self._runs()), training)
        if line == f"trickster train {self.config}":
            return Done(EXIT_STOPPED, "is stopped by a line after it", "")
        done = self.press_control_c()
        self.training = left
        return done

    def _start(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "-c", f"exec {line}"],  # so that a signal meets the command and not the shell
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def _end(self, process: subprocess.Popen[str] | None) -> Done:
        assert process is not None
        output, complaints = process.communicate(timeout=PATIENCE)
        return Done(process.returncode, output, complaints)

    def _runs(self) -> list[Path]:
        return [run.path for run in find_runs(self.folder / "runs")]

    def _steps(self, run: Path) -> int:
        events = read_events(RunDirectory(run).events_path)[0]
        return max((event["step"] for event in events if event["kind"] == "step"), default=0)

    def _until(self, holds: Callable[[], bool], training: subprocess.Popen[str]) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert training.poll() is None, self._end(training)
            assert time.monotonic() < end
            time.sleep(0.05)
