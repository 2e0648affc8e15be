"""A real server calibrates the machine by itself: once, where code may run, at low priority."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.server.raw_client import RawClient
from tests.server.test_runs import until
from trickster_engine.config import preset_text
from trickster_engine.estimates.calibration import read_calibrations

pytest.importorskip("torch")


def calibrating(parent: int) -> list[int]:
    """The processes that calibrate for a server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(status[1]) == parent and b"--calibrate" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, IndexError):
            continue
    return found


def complaints(client: RawClient) -> list[str]:
    return [entry["message"] for entry in client.log if "was not calibrated" in entry["message"]]


def test_a_trusted_server_calibrates_once_at_low_priority(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    cache = tmp_path / "cache"
    path = tmp_path / "pico.trickster.yaml"
    path.write_text(preset_text("pico"), encoding="utf-8")
    describe = {"configUri": path.as_uri()}
    with RawClient(env={"TRICKSTER_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}) as client:
        client.initialize(tmp_path, {"trusted": False, "calibrate": True})
        client.open(path.as_uri(), path.read_text(encoding="utf-8"))
        assert client.request("trickster/describeConfig", describe)["estimateSource"] is None
        assert calibrating(client.process.pid) == []
        client.notify("trickster/trustGranted", {})
        (process,) = until(lambda: calibrating(client.process.pid), 240)
        until(lambda: os.getpriority(os.PRIO_PROCESS, process) == 19, 10)
        assert client.request("trickster/describeConfig", describe)["estimateSource"] is None
        until(lambda: not calibrating(client.process.pid), 240)
        if until(lambda: complaints(client) or read_calibrations(cache), 30) and complaints(client):
            (words,) = complaints(client)
            assert "Other programs use the CPU" in words or "it took more than" in words
            pytest.skip("this machine is too busy to be calibrated")
        answer = until(lambda: client.request("trickster/describeConfig", describe)["estimatedSeconds"], 30)
        assert answer > 0
        assert client.request("trickster/describeConfig", describe)["estimateSource"] == "estimated"
        assert client.shutdown() == 0
        assert client.errors() == []


def test_a_failure_is_logged_once_and_leaves_the_server_at_peace(tmp_path: Path) -> None:
    python = tmp_path / "python"
    # An interpreter that has everything and then cannot run the engine.
    python.write_text(
        f"""#!/bin/sh
if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi
echo started >> {tmp_path}/starts
echo "error: The processor is on strike. [on-strike]" >&2
exit 1
""",
        encoding="utf-8",
    )
    python.chmod(0o755)
    path = tmp_path / "pico.trickster.yaml"
    path.write_text(preset_text("pico"), encoding="utf-8")
    with RawClient(env={"TRICKSTER_CACHE_DIR": str(tmp_path / "cache")}) as client:
        client.initialize(tmp_path, {"calibrate": True, "python": str(python)})
        client.open(path.as_uri(), path.read_text(encoding="utf-8"))
        (words,) = until(lambda: complaints(client), 60)
        assert "on strike" in words
        client.notify("trickster/trustGranted", {})
        client.open(path.with_name("other.trickster.yaml").as_uri(), preset_text("nano"))
        answer = client.request("trickster/describeConfig", {"configUri": path.as_uri()})
        assert answer["estimateSource"] is None
        assert client.shutdown() == 0
        assert client.errors() == []
    assert (tmp_path / "starts").read_text(encoding="utf-8") == "started\n"
    assert len(complaints(client)) == 1
