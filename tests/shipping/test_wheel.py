"""The wheel, built from the source distribution and installed outside the checkout, has everything that it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.engine.conftest import TINY, dialogue
from tests.server.raw_client import RawClient
from trickster_engine import __version__

ROOT = Path(__file__).parents[2]
PACKAGES = {"trickster_engine": ROOT / "trickster_engine", "trickster_server": ROOT / "server" / "trickster_server"}
BUILD = "from setuptools import build_meta; import sys; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"

pytestmark = pytest.mark.xdist_group("wheel")


def build(what: str, source: Path, into: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(into)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("sdist")
    kept = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in PACKAGES.values():
        shutil.copytree(folder, source / folder.relative_to(ROOT), ignore=kept)
    return build("build_sdist", source, made)


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.10.11 has none
        archive.extractall(folder)
    return build("build_wheel", next(folder.iterdir()), tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel. What it depends on lies in this one's folder."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    # The .pth files in there, of which one leads to the checkout, are not read from here.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    scripts = Path(sysconfig.get_path("scripts", vars=scheme))
    command = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True)
    return scripts


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = message_from_bytes(archive.read(f"trickster_lm-{__version__}.dist-info/METADATA"))
    wanted = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert (metadata["Name"], metadata["Version"]) == ("trickster-lm", __version__)
    assert any(name.endswith("LICENSE") for name in names)


def test_the_distribution_and_the_extension_have_one_version() -> None:
    assert json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["version"] == __version__


def test_the_wheel_trains_reports_and_serves_outside_the_checkout(programs: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["TRICKSTER_CACHE_DIR"] = str(tmp_path / "cache")

    def trickster(*arguments: str, program: str = "trickster") -> str:
        done = subprocess.run(
            [programs / program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import trickster_engine, trickster_server as s; print(s.__file__)"
    command: list[str | Path] = [programs / "python", "-c", where]
    assert str(programs.parent) in subprocess.check_output(command, cwd=tmp_path, text=True)
    assert trickster("--version", program="trickster-lm").strip() == f"trickster {__version__}"
    assert "training_config" in trickster("presets", "pico")
    (tmp_path / "play.txt").write_text(dialogue(6000), encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY), encoding="utf-8")
    trickster("train", "tiny.yaml")
    trickster("report", "runs/tiny-001")
    assert "<svg" in (tmp_path / "runs/tiny-001/report.html").read_text(encoding="utf-8")
    with RawClient(
        [str(programs / "trickster-server")], env={"TRICKSTER_CACHE_DIR": str(tmp_path / "cache")}
    ) as client:
        client.initialize(tmp_path)
        assert [run["step"] for run in client.request("trickster/listRuns", {})["runs"]] == [
            TINY["training_config"]["max_steps"]
        ]
        assert client.shutdown() == 0
