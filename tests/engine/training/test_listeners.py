"""Nobody from outside can speak to the processes of one machine, and no other user of it to where they meet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.training.sockets import Listener, beyond_loopback, listeners
from tests.engine.training.test_processes import Config, several
from tests.engine.training.test_sharding import sharded

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sockets are found through /proc")


@pytest.mark.parametrize("kind", [several, sharded])
def test_several_processes_of_one_machine_listen_on_loopback_alone(
    kind: Callable[..., dict[str, Any]], tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at whenever the run says anything. What the shell holds for runs on several machines changes nothing."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth0")
    config = tiny_config("two", **kind(2))
    seen: set[Listener] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(config), "--json", f"--run-dir={tmp_path / 'run'}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as trainer:
        assert trainer.stdout
        kinds = []
        for line in trainer.stdout:
            kinds.append(json.loads(line)["kind"])
            seen |= listeners(trainer.pid)
    assert trainer.returncode == 0
    assert kinds.count("step") == 24
    assert seen, "gloo's own sockets should have been seen"
    assert not beyond_loopback(seen)
    assert trainer.pid not in {one.pid for one in seen}, "where the processes meet is no socket"
