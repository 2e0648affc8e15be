"""Nobody from outside can speak to the processes of one machine, and no other user of it to where they meet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.training.sockets import Listener, beyond_loopback, listeners
from tests.engine.training.test_processes import Config, several
from tests.engine.training.test_sharding import sharded
from trickster_engine.backends.torch.process_group import decode, encode

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


def test_what_processes_send_each_other_carries_no_code() -> None:
    """Nothing is unpickled; paths, and the states of random generators, come back as they were."""
    state: dict[str, np.ndarray] = {"cpu": np.arange(5, dtype=np.uint8), "cuda": np.zeros((2, 3), dtype=np.float32)}
    for value in (None, True, 3, 0.1, "bf16", Path("/a/b"), [1, {"path": "x"}]):
        assert decode(encode(value)) == value
    back = decode(encode(state))
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    for refused in (object(), np.array([object()])):
        with pytest.raises(TypeError):
            encode(refused)
    with pytest.raises((ValueError, TypeError)):
        decode(b'{"array": "", "type": "O", "shape": [0], "": true}')
    with pytest.raises(ValueError):
        decode(b"\x80\x04K\x01.")
