"""The doctor in five situations, whole, as a person meets it: as text, and as JSON for the editor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ttml.conftest import BUILD, DOUBLE
from tests.engine.ttml.test_simulated import simulator
from trickster_engine import doctor
from trickster_engine.doctor import probe
from trickster_engine.doctor.toolchain import sfpi_facts
from trickster_engine.system import tenstorrent

REPOSITORY = DOUBLE.parents[1]
OURS = "TT_", "TTML_"


def examined(*path: Path, **environment: str) -> tuple[str, dict[str, Any]]:
    """What `trickster doctor` says, with packages on the path of its Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    variables = {**kept, **environment, "PYTHONPATH": os.pathsep.join(map(str, [*path, REPOSITORY]))}
    said = [
        subprocess.run(
            [sys.executable, "-m", "trickster_engine", "doctor", *more],
            env=variables, cwd=REPOSITORY, check=False, capture_output=True, text=True,
        ).stdout
        for more in ([], ["--json"])
    ]  # fmt: skip
    return said[0], json.loads(said[1])


def levels(answer: Mapping[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["level"] for finding in answer["findings"]}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A Python that has ttnn as pip installs it, and no ttml: names and places of ttnn 0.81.1."""
    site = tmp_path / "site"
    for folder in ("ttnn/tt_metal/core_descriptors", "ttnn-0.81.1.dist-info"):
        (site / folder).mkdir(parents=True)
    (site / "ttnn/__init__.py").write_text(
        "def GetNumAvailableDevices():\n    raise RuntimeError('No chips detected in the cluster\\nbacktrace')\n"
        "def get_arch_name():\n    return 'invalid'\n"
    )
    (site / "ttnn/tt_metal/sfpi-version").write_text("# sfpi release 7.89.0\n\nsfpi_version='7.89.0'\n")
    (site / "ttnn-0.81.1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: ttnn\nVersion: 0.81.1\n")
    return site


def test_nothing_is_here() -> None:
    text, answer = examined()
    assert "problem" not in levels(answer).values()
    assert "Ready to train on this computer's CPU." in text
    assert answer["device"] == "this computer's CPU"
    assert "SFPI" not in text and "Next steps" not in text


def test_pips_ttnn_is_here_and_no_ttml(wheel: Path) -> None:
    text, answer = examined(wheel)
    assert levels(answer) | {"sfpi-missing": "note", "ttml-missing": "note"} == levels(answer)
    assert f"ttnn 0.81.1 is installed ({wheel / 'ttnn'}); ttml, the part that trains, is not." in text
    assert "Build ttml from the tag v0.81.1" in text and "in its folder tt-train" in text
    place = wheel / "ttnn/runtime/sfpi"
    assert f"SFPI 7.89.0, the compiler for kernels, is missing at {place} and at /opt/tenstorrent/sfpi" in text
    assert "Download release 7.89.0" in text
    assert answer["ready"] and answer["would_run"] == "cpu"  # a processor trains all the same


def test_pips_ttnn_and_a_root_that_is_not_its_own(wheel: Path, tmp_path: Path) -> None:
    text, answer = examined(wheel, TT_METAL_RUNTIME_ROOT=str(tmp_path))
    assert levels(answer)["metal-root-wrong"] == "problem"
    assert "Unset TT_METAL_RUNTIME_ROOT" in text


def test_the_double_is_here() -> None:
    text, answer = examined(DOUBLE / "packages", TTML_DOUBLE=json.dumps(BUILD))
    assert "problem" not in levels(answer).values()
    assert levels(answer)["ttml"] == "note"  # of no version
    assert "has not run on a board yet" in text
    assert answer["would_run"] == "cpu"  # there is no board
    assert "DEBUG" not in text


def test_a_simulator_is_set(tmp_path: Path) -> None:
    environment = simulator(tmp_path / "sim")
    text, answer = examined(DOUBLE / "packages", TTML_DOUBLE=json.dumps(BUILD), **environment)
    assert levels(answer)["simulated-chip"] == "ok"
    assert "problem" not in levels(answer).values()
    assert "A simulated chip: Tenstorrent blackhole, simulated by ttsim" in text and "ttnn counts 1" in text
    assert answer["would_run"] == "tt" and answer["ready"]
    assert "Ready to train on Tenstorrent blackhole, simulated by ttsim." in text
    assert "tt-smi" not in text
    (tmp_path / "sim/soc_descriptor.yaml").unlink()
    text, answer = examined(DOUBLE / "packages", TTML_DOUBLE=json.dumps(BUILD), **environment)
    assert levels(answer)["simulator-descriptor-missing"] == "problem" and not answer["ready"]
    assert "count_devices" not in answer["probes"]  # it would fail, and not say why


def test_a_boards_files_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path, double: Callable[..., Any]
) -> None:
    """A Galaxy of a new name in a temporary folder; everything else is asked of this machine."""
    shown = tmp_path / "sys/class/tenstorrent/tenstorrent!0"
    (shown / "device").mkdir(parents=True)
    (tmp_path / "dev/tenstorrent").mkdir(parents=True)
    (tmp_path / "dev/tenstorrent/0").touch()
    (tmp_path / "proc").mkdir()
    (shown / "tt_card_type").write_text("galaxy-blackhole\n")
    (shown / "tt_fw_bundle_ver").write_text("19.4.0\n")
    (shown / "device/device").write_text("0xb140\n")
    honest, boards = probe.run_probe, tenstorrent.boards
    monkeypatch.setattr(tenstorrent, "boards", lambda: boards(tmp_path))

    def answers(name: str, *arguments: Any) -> Any:
        return probe.boards() if name == "boards" else honest(name, *arguments)

    monkeypatch.setattr(doctor, "run_probe", answers)
    monkeypatch.setenv("PYTHONPATH", f"{DOUBLE / 'packages'}")
    monkeypatch.setenv("TTML_DOUBLE", json.dumps(BUILD))
    report = doctor.diagnose()
    text = report.as_text()
    assert "1 Tenstorrent device (galaxy-blackhole); driver unknown, firmware 19.4.0." in text
    assert report.as_json()["probes"]["boards"]["boards"][0]["architecture"] == "blackhole"
    assert report.ready and report.would_run == "tt"
    assert f"Ready to train on Tenstorrent galaxy-blackhole ({tmp_path / 'dev/tenstorrent/0'})." in text
    assert "ttnn sees 1 device of architecture blackhole." in text
    monkeypatch.setenv("PYTHONPATH", str(wheel))
    report = doctor.diagnose()
    found = {finding.code: finding for finding in report.findings}
    assert found["ttml-missing"].level == found["sfpi-missing"].level == "problem"
    assert found["devices-not-counted"].title.endswith("No chips detected in the cluster.")
    assert report.would_run == "cpu"


@pytest.mark.skipif(sys.platform == "win32", reason="a compiler of the Linux release")
def test_the_compiler_is_asked_what_release_it_is(tmp_path: Path) -> None:
    root = tmp_path / "ttnn"
    (root / "tt_metal").mkdir(parents=True)
    (root / "tt_metal/sfpi-version").write_text("sfpi_version='7.89.0'\n")
    away = tmp_path / "opt"
    assert sfpi_facts([root], away)["place"] is None
    for place, version in ((away, "7.69.0"), (root / "runtime/sfpi", "7.89.0")):
        compiler = place / "compiler/bin/riscv-tt-elf-g++"
        compiler.parent.mkdir(parents=True)
        compiler.write_text(f"#!/bin/sh\necho 'riscv-tt-elf-g++ (tenstorrent/sfpi:{version}[822]) 15.1.0'\n")
        compiler.chmod(0o755)
        facts = sfpi_facts([root], away)
        assert (facts["wanted"], facts["place"], facts["version"]) == ("7.89.0", str(place), version)


@pytest.mark.parametrize(
    ("version", "code", "level"),
    [("7.89.0", "sfpi", "ok"), ("7.69.0", "sfpi-version", "problem"), (None, "sfpi-unknown", "note")],
)
def test_the_wrong_release_of_the_compiler_is_told(version: str | None, code: str, level: str) -> None:
    from tests.engine.ttml.test_doctor import READY, changed
    from trickster_engine.doctor.report import judge

    sfpi = {"wanted": "7.89.0", "places": ["/a", "/b"], "place": "/b", "version": version}
    report = judge(changed(package={**READY["package"], "sfpi": sfpi}))
    found = {finding.code: finding for finding in report.findings}
    assert found[code].level == level
    assert "Ready to train on Tenstorrent n150 L" in report.as_text() or level == "problem"
