"""The real ttnn, from its wheel: what the backend takes for granted is there, and the double agrees with it.

`make test-ttml` puts ttnn 0.81.1 into an environment of Python 3.12 and names its interpreter in TRICKSTER_TTNN_PYTHON;
without that these tests are skipped, by name. No board is needed: none is opened. A library of ttsim, where somebody
names one in TRICKSTER_TTSIM, is opened as far as it takes to count it.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trickster_engine
from tests.engine.ttml.conftest import DOUBLE
from tests.engine.ttml.test_rules import FABRIC, UPSTREAM, meshed
from tools import ttml_names
from trickster_engine.backends.ttml.mesh import DESCRIPTOR_FOLDERS, check_mesh, descriptor_shape, matching_descriptors
from trickster_engine.backends.ttml.weights import round_to_bf16

PYTHON = os.environ.get("TRICKSTER_TTNN_PYTHON", "")
TTSIM = os.environ.get("TRICKSTER_TTSIM", "")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="TRICKSTER_TTNN_PYTHON names no Python 3.12 with ttnn from its wheel: see `make test-ttml`"
)

NAMES = sorted(
    {entry.name for entry in ttml_names.NAMES if entry.name.startswith("ttnn.")} | {"ttnn.GetNumAvailableDevices"}
)
FACTS = Path(__file__).parent / "ttnn_facts.py"
REPOSITORY = DOUBLE.parents[1]


def asked(python: str, **environment: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TT_", "TTML_"))}
    quiet = {"LOGURU_LEVEL": "WARNING", "TT_LOGGER_LEVEL": "FATAL"}
    answer = subprocess.run(
        [python, FACTS, *NAMES], env={**kept, **quiet, **environment}, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    return asked(PYTHON)


@pytest.fixture(scope="module")
def package() -> Path:
    code = "import importlib.util; print(importlib.util.find_spec('ttnn').submodule_search_locations[0])"
    return Path(subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def test_every_name_is_there(real: dict[str, Any]) -> None:
    assert real["version"]
    assert {name for name, there in real["names"].items() if not there} == set()
    assert {"ttnn.Layout.TILE", "ttnn.DataType.BFLOAT16", "ttnn.clone", "ttnn.Tensor.dtype"} <= real["names"].keys()


def calls_of_ttnn() -> Iterator[tuple[str, ast.Call]]:
    """Each call of a function of ttnn's in the product, as `ttnn.NAME` and the call."""
    engine = Path(trickster_engine.__file__).parent
    for path in [*(engine / "backends" / "ttml").glob("*.py"), engine / "doctor" / "probe.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).removeprefix("self.").lstrip("_")
                if name.startswith("ttnn.") and name.count(".") == 1:
                    yield name, node


def test_functions_take_what_they_are_given(real: dict[str, Any]) -> None:
    called = dict(calls_of_ttnn())
    assert {"ttnn.clone", "ttnn.get_arch_name", "ttnn.GetNumAvailableDevices"} <= called.keys()
    for name, call in calls_of_ttnn():
        parameters = real["parameters"][name]
        assert parameters is not None and len(call.args) <= len(parameters), (name, parameters)
        assert {keyword.arg for keyword in call.keywords} <= set(parameters), (name, parameters)


def test_the_double_is_made_after_it(real: dict[str, Any]) -> None:
    double = asked(sys.executable, PYTHONPATH=str(DOUBLE / "packages"), TTML_DOUBLE='{"chips": 0}')
    for what in ("names", "enums", "dtype", "rounded", "arch", "devices"):
        assert double[what] == real[what], what


def test_a_host_rounds_to_bfloat16_as_we_do(real: dict[str, Any]) -> None:
    import numpy as np

    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1.001, -3.14159, 1e-3, 65504.0, 0.1], dtype=np.float32)
    assert round_to_bf16(values).tolist() == real["rounded"]


@pytest.mark.parametrize("chips", [2, 4, 8, 16, 32])
def test_its_descriptors_are_read_as_they_are_meant(package: Path, chips: int) -> None:
    found = sorted((package / DESCRIPTOR_FOLDERS[0]).glob("*.textproto"))
    assert len(found) > 30
    fitting = matching_descriptors([package], chips)
    for path in found:
        try:
            check_mesh(meshed(1, chips, True, 32), {"TT_MESH_GRAPH_DESC_PATH": str(path)})
        except Exception:
            assert path not in fitting
        else:
            assert path in fitting
    # The table of the tests that need no wheel says what the wheel has.
    shapes = {path.stem: descriptor_shape(path.read_text()) for path in found}
    for name, dims, _ in UPSTREAM:
        folder, stem = name.rsplit("/", 1)
        if folder == FABRIC and stem in shapes:
            assert shapes[stem] == tuple(int(number) for number in dims.split(",")), stem


def doctor(**environment: str) -> dict[str, Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TT_", "TTML_"))}
    answer = subprocess.run(
        [sys.executable, "-m", "trickster_engine", "doctor", "--json", "--python", PYTHON],
        env={**kept, **environment}, cwd=REPOSITORY, check=False, capture_output=True, text=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_the_doctor_knows_what_it_lacks(real: dict[str, Any], package: Path) -> None:
    titles = {finding["code"]: finding["title"] for finding in doctor()["findings"]}
    assert titles["ttml-missing"].startswith(f"ttnn {real['version']} is installed ({package})")
    assert "sfpi" in " ".join(titles)  # missing, of another release, or right


@pytest.mark.skipif(not TTSIM, reason="TRICKSTER_TTSIM names no library of ttsim")
def test_a_simulated_chip_is_counted(package: Path, tmp_path: Path) -> None:
    library = tmp_path / Path(TTSIM).name
    shutil.copy(TTSIM, library)
    environment = {"TT_METAL_SIMULATOR": str(library), "TT_METAL_SLOW_DISPATCH_MODE": "1"}
    lacking = {finding["code"] for finding in doctor(**environment)["findings"]}
    assert {"simulator-descriptor-missing", "simulator-load-macros"} <= lacking
    shutil.copy(package / "tt_metal/soc_descriptors/wormhole_b0_80_arch.yaml", tmp_path / "soc_descriptor.yaml")
    environment["TT_METAL_DISABLE_SFPLOADMACRO"] = "1"
    answer = doctor(**environment)
    assert answer["probes"]["count_devices"] == {
        "devices": 1, "architecture": "wormhole_b0", "seconds": answer["probes"]["count_devices"]["seconds"],
    }  # fmt: skip
    found = {finding["code"]: finding for finding in answer["findings"]}
    assert "Tenstorrent wormhole_b0, simulated by ttsim" in found["simulated-chip"]["title"]
