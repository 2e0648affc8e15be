"""The doctor, on machines that are made up of files, and on this one."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from trickster_server.runs.pages import report as report_page

from tests.engine.ttml.conftest import BUILD, DOUBLE
from trickster_engine import doctor
from trickster_engine.cli import main
from trickster_engine.doctor import probe
from trickster_engine.doctor.report import judge
from trickster_engine.doctor.self_test import run_self_test
from trickster_engine.system import tenstorrent

MACHINE: dict[str, Any] = {
    "python": "3.12.3", "executable": "/usr/bin/python3", "system": "Linux", "pci": [], "driver": None,
}  # fmt: skip
TORCH = {"found": True, "version": "2.13.0", "cuda": [], "mps": False}
BOARD = {
    "number": 0, "path": "/dev/tenstorrent/0", "usable": True, "card_type": "n150", "architecture": "wormhole_b0",
    "firmware": "18.5.0", "holders": [],
}  # fmt: skip
FEATURES = dict.fromkeys(
    ("python_llama", "cpp_llama", "clip_grad_norm", "adamw_full_precision", "muon", "mesh", "data_parallel"), True
)
READY: dict[str, Any] = {
    "machine": {**MACHINE, "pci": ["0000:01:00.0"], "driver": "2.4.1"},
    "boards": {"boards": [BOARD]},
    "tt_smi": {
        "found": True,
        "boards": [{"type": "n150 L", "bus": "x", "firmware": "18.5.0"}],
        "driver": "TT-KMD 2.4.1",
    },
    "torch": TORCH,
    "package": {"ttml": True, "unrelated": False, "location": "/x", "ttnn": True},
    "import_ttml": {"imported": True, "ttml": "unknown", "ttnn": "0.77.0", "features": FEATURES},
    "count_devices": {"devices": 1, "architecture": "wormhole_b0"},
}


def codes(probes: dict[str, Any], level: str = "problem") -> set[str]:
    return {finding.code for finding in judge(probes).findings if finding.level == level}


def changed(**parts: Any) -> dict[str, Any]:
    return {**READY, **parts}


def on_this_page(probes: dict[str, Any]) -> str:
    """What VS Code shows of a report."""
    return report_page("doctor", judge(probes).as_json(), "")


def test_a_machine_without_a_board_is_ready_and_is_told_nothing_about_boards() -> None:
    machine = {**MACHINE, "processors": 2, "memory": 16_700_000_000}
    nothing: dict[str, Any] = {"machine": machine, "boards": {"boards": []}, "torch": TORCH, "package": {"ttml": False}}
    report = judge(nothing)
    assert report.ready and report.would_run == "cpu"
    for shown in (report.as_text(), on_this_page(nothing)):
        assert "2 CPU cores, 16.7 GB of memory" in shown
        assert "Ready to train" in shown and "Next" in shown
        assert "has not run on a board yet" not in shown
    assert "To fix" not in on_this_page(nothing)
    assert not any(mark in on_this_page(nothing) for mark in ("- ·", "- ✓", "- -"))


def test_a_python_without_torch_is_not_ready() -> None:
    without: dict[str, Any] = {
        "machine": MACHINE, "boards": {"boards": []}, "torch": {"found": False}, "package": {"ttml": False},
    }  # fmt: skip
    assert not judge(without).ready
    page = on_this_page(without)
    assert "Ready" not in page
    assert page.index("To fix") < page.index("This Python has no torch") < page.index("Available")


def test_a_board_that_somebody_holds_is_not_ready() -> None:
    held = changed(boards={"boards": [{**BOARD, "holders": [{"pid": 4321, "command": "python x.py"}]}]})
    assert judge(READY).ready and not judge(held).ready
    assert "has not run on a board yet" in on_this_page(READY)


def test_a_machine_that_is_ready() -> None:
    report = judge(READY)
    assert codes(READY) == set()
    assert report.would_run == "tt"
    text = report.as_text()
    assert "n150" in text
    assert "has not run on a board yet" in text
    assert json.loads(json.dumps(report.as_json()))["would_run"] == "tt"


@pytest.mark.parametrize(
    ("probes", "code", "step"),
    [
        (changed(boards={"boards": []}, machine={**MACHINE, "pci": ["x"]}), "driver-missing", "modprobe"),
        (changed(boards={"boards": []}), "board-not-shown", "--device /dev/tenstorrent"),
        (changed(boards={"boards": [{**BOARD, "usable": False}]}), "board-permission", "usermod"),
        (
            changed(boards={"boards": [{**BOARD, "holders": [{"pid": 4321, "command": "python x.py"}]}]}),
            "board-held", "process 4321",
        ),
        (changed(package={"ttml": True, "unrelated": True, "location": "/x"}), "ttml-unrelated", "pip uninstall ttml"),
        (changed(package={"ttml": False}), "ttml-missing", "INSTALLING_TTML.md"),
        (
            changed(import_ttml={"imported": False, "code": "ttml-bad-cast", "message": "m.", "advice": "rebuild it"}),
            "ttml-bad-cast", "rebuild it",
        ),
        (
            changed(import_ttml={**READY["import_ttml"], "ttnn": "0.64.5"}), "ttml-too-old", "Update tt-metal",
        ),
        (changed(count_devices={"error": "IndexError: unordered_map::at"}), "devices-not-counted", "tt-smi -r"),
        (changed(tt_smi={"failed": "no answer within 30 s"}), "probe-tt_smi", "tt-smi -r"),
        (changed(torch={"found": False, "error": "x"}), "torch-missing", "Install torch"),
        (
            changed(machine={**MACHINE, "environment": {"TT_METAL_HOME": "/gone"}, "metal_home_exists": False}),
            "metal-home-wrong", "TT_METAL_HOME",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_has_a_next_step(probes: dict[str, Any], code: str, step: str) -> None:
    findings = {finding.code: finding for finding in judge(probes).findings}
    assert findings[code].level == "problem"
    assert step in findings[code].next_step
    assert "pip install ttml" not in judge(probes).as_text()


def test_a_laptop_is_not_scolded() -> None:
    laptop: dict[str, Any] = {
        "machine": MACHINE, "boards": {"boards": []}, "tt_smi": {"found": False}, "torch": TORCH,
        "package": {"ttml": False, "unrelated": False},
    }  # fmt: skip
    report = judge(laptop)
    assert codes(laptop) == set()
    assert report.would_run == "cpu"
    assert "Next steps" not in report.as_text()


def made_up_machine(root: Path) -> None:
    (root / "dev/tenstorrent").mkdir(parents=True)
    for number, card in ((0, "n300"), (1, "p150a")):
        (root / f"dev/tenstorrent/{number}").touch()
        shown = root / f"sys/class/tenstorrent/tenstorrent!{number}"
        shown.mkdir(parents=True)
        (shown / "tt_card_type").write_text(card + "\n")
    (root / "sys/class/tenstorrent/tenstorrent!0/tt_fw_bundle_ver").write_text("18.5.0\n")
    (root / "sys/module/tenstorrent").mkdir(parents=True)
    (root / "sys/module/tenstorrent/version").write_text("2.4.1\n")
    (root / "proc/driver/tenstorrent/0").mkdir(parents=True)
    (root / "proc/driver/tenstorrent/0/pids").write_text("77\n78\n")
    for address, vendor in (("0000:01:00.0", "0x1e52"), ("0000:02:00.0", "0x8086")):
        (root / "sys/bus/pci/devices" / address).mkdir(parents=True)
        (root / "sys/bus/pci/devices" / address / "vendor").write_text(vendor + "\n")


def test_boards_are_read_from_the_kernels_files(tmp_path: Path) -> None:
    made_up_machine(tmp_path)
    first, second = tenstorrent.boards(tmp_path)
    assert (first.card_type, first.architecture, first.firmware) == ("n300", "wormhole_b0", "18.5.0")
    assert first.holders == (77, 78)
    assert (second.card_type, second.architecture, second.holders) == ("p150a", "blackhole", ())
    assert tenstorrent.driver_version(tmp_path) == "2.4.1"
    assert tenstorrent.pci_devices(tmp_path) == ["0000:01:00.0"]
    assert tenstorrent.boards(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("card", "pci_id", "architecture"),
    [
        ("galaxy-wormhole", None, "wormhole_b0"), ("galaxy-blackhole", None, "blackhole"),
        ("tt-galaxy-wh", None, "wormhole_b0"), ("tt-galaxy-bh", None, "blackhole"), ("p100a", None, "blackhole"),
        ("p300c", None, "blackhole"), ("w900", "0x401e", "wormhole_b0"), ("p900", "0xB140", "blackhole"),
        (None, "0xb140", "blackhole"), ("x1", "0x0001", None),
    ],
)  # fmt: skip
def test_a_card_with_a_new_name_is_known_by_its_pci_id(
    tmp_path: Path, card: str | None, pci_id: str | None, architecture: str | None
) -> None:
    (tmp_path / "dev/tenstorrent").mkdir(parents=True)
    (tmp_path / "dev/tenstorrent/0").touch()
    shown = tmp_path / "sys/class/tenstorrent/tenstorrent!0"
    (shown / "device").mkdir(parents=True)
    if card:
        (shown / "tt_card_type").write_text(card + "\n")
    if pci_id:
        (shown / "device/device").write_text(pci_id + "\n")
    (board,) = tenstorrent.boards(tmp_path)
    assert board.architecture == architecture


def test_who_holds_a_board_is_found_without_the_drivers_list(tmp_path: Path) -> None:
    made_up_machine(tmp_path)
    fd = tmp_path / "proc/99/fd"
    fd.mkdir(parents=True)
    (fd / "3").symlink_to(tmp_path / "dev/tenstorrent/1")
    assert tenstorrent.boards(tmp_path)[1].holders == (99,)


def test_every_probe_answers_here() -> None:
    for name in ("machine", "boards", "package"):
        facts = probe.run_probe(name)
        assert "failed" not in facts, (name, facts)
    assert probe.run_probe("machine")["trickster"]


def test_a_probe_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "tt-smi"
    tool.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 60\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    began = time.monotonic()
    facts = probe.run_probe("tt_smi", limit=4.0)
    assert facts["failed"] == "no answer within 4 s"
    assert time.monotonic() - began < 20
    pid = int((tmp_path / "pid").read_text())
    from trickster_engine.system.processes import process_started

    patience = threading.Event()
    for _ in range(100):
        if process_started(pid) is None:
            break
        patience.wait(0.05)
    assert process_started(pid) is None


def test_what_tt_smi_says_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = {
        "host_info": {"Driver": "TT-KMD 2.4.1"},
        "device_info": [
            {"board_info": {"board_type": "p300c", "bus_id": "01"}, "firmwares": {"fw_bundle_version": "19"}}
        ],
    }  # fmt: skip
    tool = tmp_path / "tt-smi"
    tool.write_text(f"#!/bin/sh\necho gathering\necho '{json.dumps(snapshot)}'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    facts = probe.run_probe("tt_smi")
    assert facts["boards"] == [{"type": "p300c", "bus": "01", "firmware": "19"}]
    assert facts["driver"] == "TT-KMD 2.4.1"


def test_a_probe_that_aborts_takes_nobody_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ttml", "ttnn"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    facts = probe.run_probe("import_ttml")
    assert facts["failed"].startswith("ended with signal 6")


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ({}, {"imported": True}),
        ({"import_error": "std::bad_cast"}, {"imported": False, "code": "ttml-bad-cast"}),
        ({"auto_context": False}, {"imported": False, "code": "ttml-unrelated"}),
    ],
)
def test_importing_is_looked_at_in_another_process(
    monkeypatch: pytest.MonkeyPatch, variant: dict[str, Any], expected: dict[str, Any]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE / "packages"))
    monkeypatch.setenv("TTML_DOUBLE", json.dumps({**BUILD, **variant}))
    facts = probe.run_probe("import_ttml")
    assert {key: facts.get(key) for key in expected} == expected
    if facts["imported"]:
        assert all(facts["features"].values())
        assert probe.run_probe("count_devices")["devices"] == 1


def test_the_command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "run_probe", lambda name, *_: READY[name])
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    assert main(["doctor"]) == 0
    assert "[ok]" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "run_probe", lambda name, *_: changed(package={"ttml": False})[name])
    assert main(["doctor"]) == 1
    assert "Next steps:" in capsys.readouterr().out


def test_a_held_board_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    held = changed(boards={"boards": [{**BOARD, "holders": [{"pid": 1, "command": "x"}]}]})

    def answer(name: str, *_: object) -> Any:
        asked.append(name)
        return held[name]

    monkeypatch.setattr(doctor, "run_probe", answer)
    doctor.diagnose()
    assert "import_ttml" not in asked
    assert "count_devices" not in asked


def test_the_self_tests_process_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE / "packages"))
    monkeypatch.setenv("TTML_DOUBLE", json.dumps({**BUILD, "hang_at": "forward:1", "hang_seconds": 120}))
    monkeypatch.setenv("TTML_DOUBLE_BOARD", str(tmp_path / "board"))
    report = tmp_path / "report.json"
    result = run_self_test(report, sys.executable, limit=30.0)
    assert not result.passed
    assert "did not finish within 30 s" in result.checks[-1].message
    assert json.loads(report.read_text())["passed"] is False
    assert (tmp_path / "board/state").read_text() == "closed"
