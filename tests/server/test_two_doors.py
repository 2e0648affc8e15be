"""The editor and the trainer say the same of every text: what one takes, the other takes, and neither depends on what
else the interpreter has installed. The extension brings PyYAML without libyaml, an environment has it with libyaml.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.config.cases import CASES
from tests.engine.config.support import LESSON
from tests.engine.config.yaml_documents import DOCUMENTS
from tests.server.raw_client import RawClient
from tools.machine_docs import MACHINE_DOCS
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.system.programs import LAUNCHER

REPOSITORY = Path(__file__).resolve().parents[2]
#: What extension/scripts/vendor.py puts into the package: modules without their compiled parts.
LIBRARIES = ("attr", "attrs", "cattr", "cattrs", "exceptiongroup", "lsprotocol", "pygls", "typing_extensions", "yaml")
#: A comment without a blank before it, which every reader at hand takes for one.
LENIENT = {"a comment right behind a quoted text"}
#: What is good YAML and surely not what was meant.
SLIPS = {"yaml-missing-space", "yaml-dash"}
ON_DISK = {"corpus-not-found", "corpus-too-short", "corpus-small", "output-not-a-folder", *MACHINE_DOCS}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The libraries as the extension carries them."""
    folder = tmp_path_factory.mktemp("libs")
    for name in LIBRARIES:
        found = importlib.util.find_spec(name)
        if found is None:  # exceptiongroup, where Python has it
            continue
        assert found.origin is not None
        origin = Path(found.origin)
        if origin.name == "__init__.py":
            compiled = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.dylib")
            shutil.copytree(origin.parent, folder / name, ignore=compiled)
        else:
            shutil.copy(origin, folder)
    return folder


@pytest.fixture(params=["installed", "packaged"])
def server(request: pytest.FixtureRequest, packaged: Path, tmp_path: Path) -> Iterator[RawClient]:
    """A server as an editor starts it from an environment, and as the extension does."""
    command, env = None, {"TRICKSTER_CACHE_DIR": str(tmp_path / "cache")}
    if request.param == "packaged":
        command = [sys.executable, "-S", "-u", str(LAUNCHER), "trickster_server"]
        env["PYTHONPATH"] = os.pathsep.join(map(str, (REPOSITORY / "server", REPOSITORY, packaged)))
    with RawClient(command, env, {"textDocument": {"diagnostic": {}}}) as client:
        client.initialize()
        yield client


Verdict = list[tuple[str, str, str, str]]


def _verdict(problems: list[dict[str, Any]]) -> Verdict:
    return sorted(
        (problem["code"], str(problem["severity"]), json.dumps(problem["range"], sort_keys=True), problem["message"])
        for problem in problems
        if problem["code"] not in ON_DISK
    )


def _texts() -> list[str]:
    texts = [document.text for document in DOCUMENTS]
    texts += [text.replace("\n", "\r\n") for text in texts]
    return [*texts, LESSON, *(case.text for case in CASES if "\ud800" not in case.text and len(case.text) < 10_000)]


def test_the_packaged_reader_has_no_libyaml(packaged: Path) -> None:
    script = "import yaml; print(yaml.__with_libyaml__, yaml.__file__)"
    env = {**os.environ, "PYTHONPATH": str(packaged)}
    said = subprocess.run([sys.executable, "-S", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.startswith(f"False {packaged}")


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="this PyYAML was built without libyaml")
def test_the_editor_and_the_command_line_agree(
    server: RawClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    severities = {"error": "1", "warning": "2", "information": "3", "hint": "4"}
    path = tmp_path / "a.trickster.yaml"
    for number, text in enumerate(_texts()):
        path.write_bytes(text.encode("utf-8"))
        capsys.readouterr()
        code = main(["check", str(path), "--json"])
        by_command = json.loads(capsys.readouterr().out)["problems"]
        by_command = [{**problem, "severity": severities[problem["severity"]]} for problem in by_command]
        uri = (tmp_path / f"{number}.trickster.yaml").as_uri()
        server.open(uri, text)
        report = server.request("textDocument/diagnostic", {"textDocument": {"uri": uri}})
        assert _verdict(report["items"]) == _verdict(by_command), text
        refused = any(item["severity"] == 1 and item["code"] not in ON_DISK for item in report["items"])
        assert refused == any(row[1] == "1" for row in _verdict(by_command)), text
        assert code in (0, 1)
        server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert server.errors() == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.point.replace(" ", "-"))
def test_a_document_is_read_as_yaml_1_2_says(document: Any) -> None:
    if document.point in LENIENT:
        pytest.skip("taken although YAML does not allow it")
    errors = [each for each in check(document.text).problems if each.code.startswith("yaml-")]
    assert ({each.code for each in errors} <= SLIPS) if document.valid else errors


def test_a_tab_before_a_comment_costs_nothing() -> None:
    plan = check("model_config:\n  hidden_dim: 128\t# narrow\n  num_heads:\t4\n\t\n  num_layers: 2\t\n").plan
    assert plan is not None
    assert (plan.model.hidden_dim, plan.model.num_heads, plan.model.num_layers) == (128, 4, 2)
