"""Real editors: where they are, how one is run in a terminal of its own, and what it has said to the server."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.terminals import open_terminal
from trickster_engine.config import preset_text, set_values
from trickster_engine.runs import RunDirectory, find_runs

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "editors.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trickster" / "editors"
"""Where `make setup-editors` puts what the system does not have."""
SECONDS = 100.0
FEATURES = ("diagnostics", "hover", "completion", "fix", "train", "stop", "exit")


def editor_config(name: str, command: Path) -> str:
    """The config that docs/editors.md shows for a client, with the command put in."""
    found = re.search(
        rf"<!-- config: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None, f"docs/editors.md has no config for {name}"
    assert "/path/to/.venv/bin/trickster-server" in found[1]
    return found[1].replace("/path/to/.venv/bin/trickster-server", str(command))


@dataclass
class Workspace:
    """A person's folder with a config in it, and a server whose conversation is kept."""

    folder: Path
    home: Path
    config: Path
    server: Path
    log: Path
    results: Path

    def said(self, sender: str, method: str | None = None) -> list[dict[str, Any]]:
        """What was said, in order; a line that is being written is left for later."""
        if not self.log.exists():
            return []
        found = []
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("from") == sender and (method is None or entry["message"].get("method") == method):
                found.append(entry["message"])
        return found

    def exit_code(self) -> int | None:
        """How the server has ended; None while it runs."""
        found = re.search(r'^\{"exit": (-?\d+)\}$', self.log.read_text(encoding="utf-8"), re.MULTILINE)
        return int(found[1]) if found is not None else None

    def ended_cleanly(self) -> bool:
        """Whether the server has gone with the editor, and knew that it was to."""
        wait_for(lambda: self.exit_code() is not None, 20)
        return self.exit_code() == 0

    def environment(self, **more: str) -> dict[str, str]:
        """Environment variables for an editor: a home of its own, so that nobody's own config is read."""
        return {
            **os.environ,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "TRICKSTER_CACHE_DIR": str(self.home / "trickster-cache"),
            "OMP_NUM_THREADS": "1",
            "TERM": "xterm-256color",
            "RESULTS": str(self.results),
            **more,
        }

    def run(self) -> RunDirectory | None:
        """The only run."""
        return next(find_runs(self.folder / "runs"), None)


def wait_for(condition: Callable[[], Any], seconds: float = SECONDS) -> bool:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    folder, home = tmp_path / "project", tmp_path / "home"
    (folder / "runs").mkdir(parents=True)
    home.mkdir()
    words = "the of and to in that is was he for it with as his on be at by".split()  # noqa: SIM905
    rng = random.Random(5)
    (folder / "corpus.txt").write_text(" ".join(rng.choice(words) for _ in range(4000)), encoding="utf-8")
    changes = {
        "data_config.corpus": "corpus.txt",
        "model_config.hidden_dim": "32",
        "model_config.num_layers": "1",
        "model_config.num_heads": "2",
        "model_config.num_kv_heads": "2",
        "model_config.mlp_dim": "64",
        "model_config.max_seq_len": "32",
        "training_config.batch_size": "2",
        "training_config.max_steps": "1000000",
        "training_config.log_interval": "20",
        "training_config.eval_interval": "100000",
        "training_config.compile": "never",
        "device_config.device_type": "cpu",
    }
    # A key with another name, which the text itself shows, and a prompt that the corpus lacks, which the machine shows.
    text = set_values(preset_text("pico"), changes).replace("save_interval", "checkpoint_frequency", 1)
    config = folder / "x.trickster.yaml"
    config.write_text(text, encoding="utf-8")
    server, log = tmp_path / "trickster-server", tmp_path / "said.jsonl"
    command = [sys.executable, str(HERE / "recorder.py"), str(log), sys.executable, "-m", "trickster_server"]
    server.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n", encoding="utf-8")
    server.chmod(0o755)
    made = Workspace(folder, home, config, server, log, tmp_path / "results.json")
    yield made
    run = made.run()
    if run is not None and run.is_live():
        run.request_stop()
        wait_for(lambda: not run.is_live(), 60)


class Terminal:
    """A program in a terminal of its own, of 50 lines and 160 columns."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        # The terminal becomes the program's own by a helper, because code of ours between fork and exec may deadlock.
        helper = (
            "import fcntl,os,sys,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
        )

        self._pty, inner = open_terminal(50, 160)
        self.process = subprocess.Popen(
            [sys.executable, "-c", helper, *command],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
        )
        os.close(inner)
        self.output = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._pty, 65536):
                self.output += data
        except OSError:  # the program has ended
            pass

    def press(self, keys: str) -> None:
        os.write(self._pty, keys.encode())

    def text(self, since: int = 0) -> str:
        """What was drawn, without the marks of the terminal. What is drawn in pieces has spaces between."""
        plain = re.sub(
            rb"\x1b\[[0-9;:?<>=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.",
            b" ",
            self.output[since:],
        )
        return re.sub(r" +", " ", plain.decode("utf-8", "replace"))

    def end(self, seconds: float = SECONDS) -> int | None:
        """Wait for the end; whatever lives then is ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            self._reader.join(2)
            os.close(self._pty)


def program(name: str, *places: Path) -> str:
    """Where an editor is; the test is skipped by its name where it is not here."""
    if sys.platform == "win32":
        pytest.skip("an editor is driven through a Unix terminal")
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return str(place)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: make setup-editors")
    return found
