"""A trained run, and one real server of it for all tests of this folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.engine.conftest import TINY, dialogue
from trickster_engine.cli import main

TOKEN = "a-token-of-these-tests"
CONTEXT = 64
#: Fewer places than clients, so that texts wait, join and leave.
BATCH, MOST_REQUESTS = 8, 40


@dataclass(frozen=True)
class Server:
    """A server that listens."""

    base_url: str
    process: subprocess.Popen[str]

    def http(self) -> httpx2.Client:
        """A client that knows the token."""
        return httpx2.Client(base_url=self.base_url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120)

    def figure(self, name: str) -> float:
        """A figure of /metrics; 0 where there is none yet."""
        with self.http() as client:
            text = client.get(self.base_url.removesuffix("/v1") + "/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, flags=re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_until(self, name: str, value: float) -> None:
        """Ask until a figure has a value."""
        while self.figure(name) != value:
            assert self.process.poll() is None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.base_url.removeprefix("http://").removesuffix("/v1").partition(":")
        return host, int(port)


#: The command line, by a process that waits so many seconds for the head of a request.
_IMPATIENT = """import sys
from trickster_engine.__main__ import main
from trickster_engine.serving import connections
connections.HEAD_SECONDS = {}
sys.exit(main())"""


@contextmanager
def serving(run: Path, head_seconds: float | None = None) -> Iterator[Server]:
    """A server of a run, until the block is left. `head_seconds` takes the place of its patience with silence."""
    options = ["--port", "0", "--token", TOKEN, "--batch", str(BATCH), "--max-requests", str(MOST_REQUESTS)]
    program = ["-m", "trickster_engine"] if head_seconds is None else ["-c", _IMPATIENT.format(head_seconds)]
    process = subprocess.Popen(
        [sys.executable, *program, "serve", str(run), *options],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    try:
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        found = re.search(r"base URL +(\S+)", said)
        assert found, said
        yield Server(found[1], process)
    finally:
        process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned some words."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
    changes: dict[str, dict[str, Any]] = {
        "model_config": {"max_seq_len": CONTEXT, "dropout": 0.0},
        "training_config": {"batch_size": 16, "max_steps": 120, "eval_interval": 120, "save_interval": 120},
    }
    sections = {name: {**values, **changes.get(name, {})} for name, values in TINY.items()}
    config = folder / "tiny.yaml"
    config.write_text("\n".join(f"{name}: {values}" for name, values in sections.items()).replace("'", '"'))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRICKSTER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        assert main(["train", str(config), "--run-dir", str(folder / "tiny")]) == 0
    return folder / "tiny"


@pytest.fixture(scope="session")
def server(run: Path) -> Iterator[Server]:
    with serving(run) as one:
        yield one
