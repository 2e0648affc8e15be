"""Several machines train one run: two network namespaces of this one, joined by a cable that the test pulls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.training.reading import of_kind
from tests.engine.training.sockets import beyond_loopback, listeners
from tests.engine.training.test_processes import Config, same_curve, several
from tests.engine.training.test_resume import begin
from trickster_engine.model.checksums import verify
from trickster_engine.runs import RunDirectory, read_events

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and the ip tool",
)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Machines:
    """Two namespaces with an address each and nothing else to reach."""

    def __init__(self) -> None:
        self.names = [f"trickster-{os.getpid()}-{number}" for number in (0, 1)]
        self._cables = [f"tk{os.getpid() % 10**6}x{number}" for number in (0, 1)]
        self.addresses = ["10.213.7.1", "10.213.7.2"]
        self.processes: list[subprocess.Popen[str]] = []

    def build(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
        ip("link", "add", self._cables[0], "type", "veth", "peer", "name", self._cables[1])
        for name, cable, address in zip(self.names, self._cables, self.addresses, strict=True):
            ip("link", "set", cable, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", cable, "up")

    def cable(self, state: str) -> None:
        """`down` cuts the second machine off."""
        ip("-n", self.names[1], "link", "set", self._cables[1], state)

    def launch(self, config: Path, run: Path, *options: str) -> None:
        """Launch the run on both."""
        for name, address in zip(self.names, self.addresses, strict=True):
            command = [
                *("ip", "netns", "exec", name, sys.executable, "-m", "trickster_engine", "launch", str(config)),
                *("--run-dir", str(run), "--nnodes", "2", "--rdzv-endpoint", f"{self.addresses[0]}:29400"),
                *("--local-addr", address, "--patience", "8", *options),
            ]
            log = (run.parent / f"{name}.log").open("w")
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True))

    def take_down(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def machines() -> Iterator[Machines]:
    made = Machines()
    try:
        try:
            made.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield made
    finally:
        made.take_down()


def wait_until_said(run: RunDirectory, machines: Machines, kind: str, step: int = 0, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not any(e.get("step", 0) >= step for e in of_kind(read_events(run.events_path)[0], kind)):
        assert time.monotonic() < deadline, [path.read_text() for path in run.path.parent.glob("*.log")]
        assert all(process.poll() is None for process in machines.processes)
        time.sleep(0.1)


def test_a_machine_that_is_cut_off_and_comes_back(tiny_config: Config, tmp_path: Path, machines: Machines) -> None:
    training = {"optimizer": "adamw", "max_steps": 400, "eval_interval": 200, "save_interval": 20}
    one, _ = begin(tiny_config("one", **several(1, training_config=training)))
    run = RunDirectory(tmp_path / "both")
    machines.launch(tiny_config("two", **several(2, training_config=training)), run.path, "--max-restarts", "3")
    wait_until_said(run, machines, "checkpoint", 20)
    for process, address in zip(machines.processes, machines.addresses, strict=True):
        # --local-addr names the only network on which anything listens, gloo's own sockets included.
        assert {one.address for one in beyond_loopback(listeners(process.pid))} == {address}
    machines.cable("down")
    wait_until_said(run, machines, "error")
    for folder in (run.path / "checkpoints").glob("step-*"):
        verify(folder)
    machines.cable("up")
    assert [process.wait(240) for process in machines.processes] == [0, 0]
    errors = [event for event in read_events(run.events_path)[0] if event["kind"] == "error"]
    assert {error["code"] for error in errors} == {"process-lost"}
    assert run.summary().status == "finished"
    assert not run.is_live()
    same_curve(one, run, 1e-3)  # rounding differs in the last bit, and grows over so many steps
    assert json.loads((run.path / "latest.json").read_text())["step"] == 400
