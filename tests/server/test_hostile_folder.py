"""Whatever the server and the extension start in a folder with a stranger's files, none of them runs.

The folder holds files with the names of modules that Python and its packages bring, and of programs. Each of them
leaves its name and how it came to run; a module also ends the process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import TINY, dialogue
from tests.server.raw_client import RawClient
from tests.server.test_runs import run_info, until
from trickster_engine.data.sharded.worker_pool import Workers
from trickster_engine.doctor.probe import run_probe
from trickster_engine.system.programs import LAUNCHER, engine_environment, find_program, safe_environment

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = (
    "random",
    "json",
    "torch",
    "runpy",
    "pkgutil",
    "numpy",
    "yaml",
    "typing",
    "logging",
    "socket",
    "multiprocessing",
)
MODULE = """\
import os, sys
with open({marker!r}, "a") as file:
    file.write("%s in %s\\n" % (__name__, sys.argv))
os._exit(99)
"""
PROGRAM = "#!/bin/sh\necho $0 >> '{marker}'\n"


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Is there as soon as anything of the stranger's has run."""
    return tmp_path / "marker"


@pytest.fixture
def hostile(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, with a config and a text of one's own. It is the current one."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(MODULE.format(marker=str(marker)))
    for name in ("nvidia-smi", "tt-smi", "ps", "g++"):
        (folder / name).write_text(PROGRAM.format(marker=marker))
        (folder / name).chmod(0o755)
    (folder / "play.txt").write_text(dialogue(20_000), encoding="utf-8")
    write_config(folder, "tiny", {})
    write_config(folder, "two", {"enable_ddp": True, "mesh_shape": [1, 2]})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


def write_config(folder: Path, name: str, device: Mapping[str, Any]) -> None:
    sections = {**TINY, "device_config": {**TINY["device_config"], **device}}
    sections["training_config"] = {**TINY["training_config"], "max_steps": 4, "eval_interval": 4, "optimizer": "adamw"}
    lines = [f"{section}: {json.dumps(values)}\n" for section, values in sections.items()]
    (folder / f"{name}.trickster.yaml").write_text("".join(lines), encoding="utf-8")


def ran(marker: Path) -> str:
    return marker.read_text() if marker.exists() else ""


def finished(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **environment}
    )


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """The `trickster` command as an installer writes it."""
    script = tmp_path / "bin" / "trickster"
    script.parent.mkdir()
    script.write_text("import sys\nfrom trickster_engine.__main__ import main\nsys.exit(main())\n")
    return [sys.executable, str(script)]


def test_no_command_runs_modules_or_programs_of_the_current_folder(
    hostile: Path, marker: Path, installed: list[str]
) -> None:
    for arguments in (
        ["prepare", "tiny.trickster.yaml"],
        ["train", "tiny.trickster.yaml", "--run-dir", "runs/one"],
        ["report", "runs/one"],
        ["bench", "tiny.trickster.yaml", "--updates", "1", "--repeats", "1"],
    ):
        # An empty entry is what `PATH=$PATH:` leaves.
        done = finished([*installed, *arguments], PATH=os.pathsep + os.environ["PATH"])
        assert ran(marker) == "", (arguments, done.stderr)
        assert done.returncode == 0, (arguments, done.stderr)


def test_processes_that_are_started_for_an_answer(hostile: Path, marker: Path) -> None:
    assert run_probe("machine")["trickster"]
    assert run_probe("torch")["found"]
    with Workers(1) as workers:
        (answer,) = workers.run([(0, {"do": "check", "path": str(hostile / "play.txt")})], lambda count: None)
    assert len(answer[1]["sha256"]) == 64
    assert ran(marker) == ""


def test_the_server_and_what_it_starts(hostile: Path, marker: Path) -> None:
    """As an editor starts it, in the folder that is open: a run, its model's text, and commands with an answer."""
    # Before Python 3.11, `python -m` itself imports from the folder.
    how = ["-m"] if sys.version_info >= (3, 11) else [str(LAUNCHER)]
    command = [sys.executable, *how, "trickster_server"]
    config = (hostile / "two.trickster.yaml").as_uri()
    with RawClient(command) as client:
        client.initialize(hostile, {"trusted": True})
        run = client.request("trickster/startRun", {"configUri": config}, 120)["runId"]
        until(lambda: run_info(client, run)["state"] == "finished")
        checkpoint = next((hostile / "runs").glob("*/checkpoints/step-*"))
        assert client.request("trickster/generate", {"checkpoint": str(checkpoint), "prompt": "K"}, 120)
        assert client.request("trickster/doctor", {}, 120)
        assert client.request("trickster/prepare", {"configUri": config}, 120)
        assert client.shutdown() == 0
    assert ran(marker) == ""


def test_the_command_that_the_extension_puts_into_the_terminal(hostile: Path, marker: Path, tmp_path: Path) -> None:
    node, esbuild = shutil.which("node"), REPOSITORY / "node_modules" / ".bin" / "esbuild"
    if node is None or not esbuild.exists() or os.name != "posix":
        pytest.skip("takes Node.js and the extension's packages")
    source = REPOSITORY / "extension" / "src" / "python" / "terminalScript.ts"
    program = subprocess.run([esbuild, source, "--format=esm"], capture_output=True, text=True, check=True).stdout
    values = json.dumps([[sys.executable, str(LAUNCHER), "trickster_engine"], [str(REPOSITORY)], str(tmp_path / "pyc")])
    program += f"\nconsole.log(shellCommand(...{values}));"
    script = tmp_path / "trickster"
    script.write_text(subprocess.run([node, "--input-type=module", "-e", program], capture_output=True, text=True,
                                     check=True).stdout)  # fmt: skip
    for arguments in (["train", "two.trickster.yaml"], ["doctor", "--json"]):
        done = finished(["/bin/sh", str(script), *arguments], PYTHONPATH=f"{os.pathsep}.{os.pathsep}")
        assert ran(marker) == "", (arguments, done.stderr)
        assert done.returncode in (0, 1), done.stderr
    assert (hostile / "runs" / "two-001" / "final").is_dir()


def test_what_is_inherited_names_whole_folders_alone(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"PATH": os.pathsep.join(["", "bin", str(tmp_path), "."]), "PYTHONPATH": os.pathsep, "OTHER": "."}
    safe = safe_environment(given)
    assert (safe["PATH"], safe["OTHER"], safe["PYTHONSAFEPATH"]) == (str(tmp_path), ".", "1")
    assert "PYTHONPATH" not in safe
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", str(tmp_path), "lib"]))
    assert engine_environment()["PYTHONPATH"].split(os.pathsep)[1:] == [str(tmp_path)]
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", str(tmp_path)]))
    assert find_program("tt-smi") is None
