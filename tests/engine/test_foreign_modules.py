"""Nothing is imported from the folder one stands in: it may be anybody's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trickster_engine.system.programs import LAUNCHER, absolute_folders, find_program, python_command

Config = Callable[..., Path]
#: Names of the standard library's, of what we need, and of what `python -m` itself uses.
NAMES = """
random json torch numpy runpy pkgutil yaml tokenizers safetensors tqdm platform logging signal socket tempfile argparse
typing dataclasses subprocess pygls lsprotocol platformdirs config data tests
""".split()  # noqa: SIM905
SHORT = {"max_steps": 2, "warmup_steps": 0, "eval_interval": 2}
SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose modules leave a mark when they are run."""
    folder = tmp_path / "cloned"
    folder.mkdir()
    mark = tmp_path / "mark"
    for name in NAMES:
        text = f"open({str(mark)!r}, 'a').write({name!r} + ' ')\nraise SystemExit('a stranger ran')\n"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def run(command: list[str], folder: Path, *codes: int, **environment: str) -> None:
    answer = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    mark = folder.parent / "mark"
    assert not mark.exists(), f"{command}: {mark.read_text(encoding='utf-8')}"
    assert answer.returncode in codes, (command, answer.stderr[-2000:])


def test_the_folder_one_stands_in_is_no_place_to_import_from(hostile: Path, tiny_config: Config) -> None:
    config = str(tiny_config(training_config=SHORT))
    runs = hostile / "runs"
    command = str(SCRIPTS / "trickster")
    run([command, "check", config], hostile, 0)
    run([command, "doctor", "--json"], hostile, 0, 1)
    run([command, "doctor", "--self-test"], hostile, 0, 1)
    run([command, "train", config, f"--run-dir={runs / 'one'}"], hostile, 0)
    run([command, "sample", str(runs / "one"), "--max-new-tokens=2"], hostile, 0)
    # What the terminal of the extension, the editor and its server start.
    run(python_command("trickster_engine", "check", config), hostile, 0)
    run([sys.executable, "-u", str(LAUNCHER), "trickster_server", "--help"], hostile, 0)
    run(python_command("trickster_engine.inference.worker"), hostile, 0)
    # By hand. `python -m` itself may look there before anything of ours runs, but for what is in sys.modules by then.
    for name in ("runpy", "pkgutil", "typing", "signal"):
        (hostile / f"{name}.py").unlink()
    run([sys.executable, "-m", "trickster_engine", "check", config], hostile, 0)
    run([sys.executable, "-m", "trickster_server", "--help"], hostile, 0)
    # Entries of PYTHONPATH that mean the folder one stands in.
    run([command, "check", config], hostile.parent, 0, PYTHONPATH="")
    run(python_command("trickster_engine", "check", config), hostile, 0, PYTHONPATH=os.pathsep)


@pytest.mark.skipif(sys.platform == "win32", reason="several processes need Linux or macOS")
def test_the_processes_of_a_run_import_nothing_from_there_either(hostile: Path, tiny_config: Config) -> None:
    device = {"device_type": "cpu", "enable_ddp": True, "mesh_shape": [1, 2]}
    config = tiny_config("two", training_config=SHORT, device_config=device)
    run([str(SCRIPTS / "trickster"), "train", str(config), f"--run-dir={hostile / 'runs' / 'two'}"], hostile, 0)


def test_a_run_that_the_server_starts_imports_nothing_from_its_folder(hostile: Path, tiny_config: Config) -> None:
    from trickster_engine.runs.launch import launch

    config = tiny_config(training_config=SHORT)
    launched = launch(sys.executable, ["train", str(config), f"--run-dir={hostile / 'one'}"], hostile / "one")
    assert launched.process.wait(120) == 0
    assert (hostile / "one" / "final" / "config.json").is_file()
    assert not (hostile.parent / "mark").exists()


@pytest.mark.skipif(os.name == "nt", reason="a shell script as a program")
def test_programs_are_found_in_absolute_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in ("", ".", f".{os.pathsep}", f"{os.pathsep}/nowhere", "./"):
        monkeypatch.setenv("PATH", path)
        assert find_program("nvidia-smi") is None
    monkeypatch.setenv("PATH", f".{os.pathsep}{tmp_path}")
    assert find_program("nvidia-smi") == str(program)
    assert absolute_folders(f"{os.pathsep}.{os.pathsep}/a{os.pathsep}b") == ["/a"]
