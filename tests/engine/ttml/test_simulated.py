"""A simulated chip is a device of its own: chosen, named everywhere, slow, and no measure of this machine."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trickster_server.timing.speeds import Timing

from tests.engine.ttml.conftest import DOUBLE
from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_runs import Workplace
from trickster_engine.backends.select import best_device
from trickster_engine.backends.ttml.watchdog import FIRST_STEP_SECONDS, STEP_SECONDS, Watchdog, advice
from trickster_engine.config import preset_plan
from trickster_engine.estimates.speeds import read_speeds, speed_of
from trickster_engine.system import tenstorrent
from trickster_engine.system.substitutes import is_substitute, lacking, substitute

BOARD = "Tenstorrent wormhole_b0"
SIMULATED = f"{BOARD}, simulated by ttsim"


def simulator(folder: Path) -> dict[str, str]:
    """What is set, and lies where, for a simulated Wormhole."""
    folder.mkdir()
    (folder / "libttsim_wh.so").write_bytes(b"not a library")
    (folder / "soc_descriptor.yaml").write_text("grid: {}\n")
    return {
        "TT_METAL_SIMULATOR": str(folder / "libttsim_wh.so"),
        "TT_METAL_SLOW_DISPATCH_MODE": "1",
        "TT_METAL_DISABLE_SFPLOADMACRO": "1",
    }


@pytest.mark.parametrize(
    ("value", "architecture", "chips", "label"),
    [
        ("/sim/libttsim_wh.so", "wormhole_b0", 1, SIMULATED),
        ("/sim/libttsim_wh_x8.so", "wormhole_b0", 8, SIMULATED),
        ("/sim/libttsim_bh_x2_aarch64.so", "blackhole", 2, "Tenstorrent blackhole, simulated by ttsim"),
        ("/sim/libttsim.so", None, None, "Tenstorrent chip, simulated by ttsim"),
        ("/sim/versim", None, None, "Tenstorrent chip, simulated"),
    ],
)
def test_what_is_simulated_is_read_from_the_librarys_name(
    value: str, architecture: str | None, chips: int | None, label: str
) -> None:
    found = substitute({"TT_METAL_SIMULATOR": value, "TT_METAL_MOCK_CLUSTER_DESC_PATH": "/x.yaml"})
    assert found is not None and found.simulates
    assert (found.architecture, found.chips, found.label) == (architecture, chips, label)
    assert is_substitute(found.label)


def test_other_programs_are_told_apart() -> None:
    mock = substitute({"TT_METAL_MOCK_CLUSTER_DESC_PATH": "/x.yaml"})
    assert mock is not None and not mock.simulates and "computes nothing" in mock.label
    emulator = substitute({"TT_METAL_EMULE_MODE": "1"})
    assert emulator is not None and emulator.label.endswith("emulated by tt-emule")
    assert substitute({"TT_METAL_SIMULATOR": ""}) is None
    assert lacking(mock, {}) == []
    assert not is_substitute(BOARD) and not is_substitute(f"{BOARD} (8 chips)")


def test_what_it_lacks_is_said_one_by_one(tmp_path: Path) -> None:
    environment = simulator(tmp_path / "sim")
    found = substitute(environment)
    assert found is not None
    assert lacking(found, environment) == []
    for name, code, needed in (
        ("TT_METAL_DISABLE_SFPLOADMACRO", "simulator-load-macros", True),
        ("TT_METAL_SLOW_DISPATCH_MODE", "simulator-fast-dispatch", False),
    ):
        (lack,) = lacking(found, {**environment, name: "0"})
        assert (lack.code, lack.needed) == (code, needed)
        assert f"{name}=1" in lack.advice


def test_auto_takes_it_where_there_is_a_ttml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TT_METAL_SIMULATOR", simulator(tmp_path / "sim")["TT_METAL_SIMULATOR"])
    assert best_device() != "tt"  # no ttml
    monkeypatch.syspath_prepend(DOUBLE / "packages")
    assert tenstorrent.board_present() and best_device() == "tt"
    monkeypatch.delenv("TT_METAL_SIMULATOR")
    monkeypatch.setenv("TT_METAL_MOCK_CLUSTER_DESC_PATH", "/x.yaml")
    assert best_device() != "tt"  # a mock computes nothing


def test_the_watchdog_waits_longer_and_tells_nobody_to_reset_a_board(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(Watchdog, "_send", lambda self, line: sent.append(line))

    def limits() -> list[float]:
        sent.clear()
        watchdog = Watchdog()
        for first in (True, False):
            with watchdog.watching(first=first):
                pass
        return [float(line.split()[1]) for line in sent if line.startswith("begin")]

    assert limits() == [FIRST_STEP_SECONDS, STEP_SECONDS]
    assert "tt-smi -r" in advice(1)
    monkeypatch.setenv("TT_METAL_SIMULATOR", "/sim/libttsim_wh.so")
    assert min(limits()) > 3600
    assert "tt-smi" not in advice(1) and "kill -9 1" in advice(1)


def test_the_preset_runs_and_says_everywhere_what_it_ran_on(tmp_path: Path) -> None:
    workplace = Workplace(tmp_path)
    workplace.environment.update(simulator(tmp_path / "sim"))
    shape = preset_plan("sim")
    assert (shape.model.num_layers, shape.model.hidden_dim, shape.model.max_seq_len) == (1, 64, 32)
    assert shape.training.max_steps == 3
    code, text = workplace.run("presets", "sim")
    assert code == 0
    (tmp_path / "run.yaml").write_text(text)
    code, said = workplace.run("train", "run.yaml", "--set", "data_config.corpus=text.txt")
    assert code == 0, said
    assert "Device:        Tenstorrent blackhole, simulated by ttsim" in said
    assert len(workplace.events("step")) == 3
    warnings = {event["code"] for event in workplace.events("warning")}
    assert {"not-a-board", "evaluated-on-the-host"} <= warnings
    # Weights that the chip has moved are what the host evaluates.
    first, last = workplace.events("eval")
    assert last["val_loss"] < first["val_loss"]
    assert is_substitute(json.loads((workplace.path / "run.json").read_text())["device"])
    assert read_speeds(tmp_path / "cache") == []
    code, said = workplace.run("report", str(workplace.path), "--output", str(tmp_path / "report.html"))
    assert code == 0, said
    assert "simulated by ttsim" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert workplace.board() == "closed"


def test_an_editor_learns_no_speed_from_it() -> None:
    def run(device: str) -> Any:
        identity = SimpleNamespace(device=device, host=platform.node())
        folder = SimpleNamespace(path=Path("run-001"))
        return SimpleNamespace(identity=identity, plan=plan(), speeds=[1.0, 2.0, 3.0], directory=folder)

    runs = [run(SIMULATED), run(BOARD)]
    timing = Timing(None, SimpleNamespace(runs=lambda: runs))  # type: ignore[arg-type]
    assert [speed.device for speed in timing._measured()] == ["tt"]


def test_a_boards_speed_is_one_of_the_kind_that_configs_name() -> None:
    assert speed_of(plan(), BOARD, 1.0, "run-001").device == "tt"
