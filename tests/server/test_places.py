"""Runs and their configs where paths have more than one name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from trickster_server.handlers.runs import Runs
from trickster_server.server import TricksterServer

from tests.server.raw_client import RawClient
from tests.server.run_files import checkpoint, status, write_run
from tests.server.test_runs import offered, until
from trickster_engine.config import preset_text, set_values
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory
from trickster_engine.training.start import resume

TEXT = set_values(preset_text("pico"), {"data_config.corpus": "corpus.txt"})


def start(folder: Path, cache: Path) -> RawClient:
    client = RawClient(env={"TRICKSTER_CACHE_DIR": str(cache), "TRICKSTER_CORPUS_DIR": ""})
    client.initialize(folder, {"debounceMs": 0})
    return client


def names(client: RawClient) -> list[str]:
    return sorted(run["name"] for run in client.request("trickster/listRuns", {})["runs"])


@pytest.fixture
def linked(tmp_path: Path) -> tuple[Path, Path]:
    """A workspace, and the link to it that the editor has opened."""
    if sys.platform == "win32":
        pytest.skip("links need a right there")
    real = tmp_path / "real"
    real.mkdir()
    (real / "corpus.txt").write_text("to be or not to be " * 200, encoding="utf-8")
    (real / "a.trickster.yaml").write_text(TEXT, encoding="utf-8")
    events = [status(3), checkpoint(3)]
    write_run(real / "runs" / "a-001", *events, config_path=real / "a.trickster.yaml", text=TEXT)
    write_run(real / "runs" / "b-001", *events, config_path=real / "b.trickster.yaml", text=TEXT)
    link = tmp_path / "link"
    link.symlink_to(real, target_is_directory=True)
    return real, link


def test_runs_are_matched_to_their_config_behind_a_link(linked: tuple[Path, Path], tmp_path: Path) -> None:
    _, link = linked
    config = link / "a.trickster.yaml"
    run_id = str(link / "runs" / "a-001")
    with start(link, tmp_path / "cache") as client:
        # As VS Code asks, whether or not the file is open; the figures of a run tell that its text was encoded.
        described = client.request("trickster/describeConfig", {"configUri": config.as_uri()})
        assert described["runIds"] == [run_id]
        assert described["prepared"] is True
        client.open(config.as_uri(), TEXT)
        until(lambda: offered(client, config, "resume", "generate") == ["resume", "generate"], 20)
        while True:
            published = client.notification("textDocument/publishDiagnostics", 20)
            if "run-interrupted" in [one["code"] for one in published["diagnostics"]]:
                break
        client.change(config.as_uri(), 2, [{"text": TEXT + "# more\n"}])
        assert offered(client, config, "resume", "generate") == ["resume", "generate"]
        assert client.request("trickster/describeConfig", {"configUri": config.as_uri()})["runIds"] == [run_id]
        assert client.errors() == []


def test_what_can_be_resumed_is_the_same_everywhere(tmp_path: Path) -> None:
    """In the list, over the config and for a command without a run, and what the engine refuses is never offered."""
    runs = tmp_path / "runs"
    for state in ("finished", "stopped", "failed", "training", "unbegun"):
        config = tmp_path / f"{state}.trickster.yaml"
        config.write_text(TEXT, encoding="utf-8")
        told = (status(0), status(3, "training" if state == "unbegun" else state))
        write_run(runs / f"{state}-001", *told, config_path=None if state == "unbegun" else config, text=TEXT)
    expected = {"finished": False, "stopped": True, "failed": True, "training": True, "unbegun": False}
    with start(tmp_path, tmp_path / "cache") as client:
        listed = client.request("trickster/listRuns", {})["runs"]
        assert {run["name"].removesuffix("-001"): run["resumable"] for run in listed} == expected
        for state, resumable in expected.items():
            config = tmp_path / f"{state}.trickster.yaml"
            client.open(config.as_uri(), TEXT)
            assert offered(client, config, "resume") == ["resume"] * resumable, state
            params = {"command": "trickster.server.resume", "arguments": [{"python": str(tmp_path / "none")}]}
            answer = client.wait(client.begin("workspace/executeCommand", params), 60)
            # Where a run is meant, it is tried, with an interpreter that is not there.
            unknown = f"No run of {config.name} can be resumed" in answer["error"]["message"]
            assert unknown is not resumable, (state, answer)
            client.notify("textDocument/didClose", {"textDocument": {"uri": config.as_uri()}})
    with pytest.raises(TricksterError, match="never started to train"):
        resume(RunDirectory(runs / "unbegun-001"))


def test_a_config_with_errors_still_has_its_runs(linked: tuple[Path, Path], tmp_path: Path) -> None:
    real, _ = linked
    config = real / "a.trickster.yaml"
    with start(real, tmp_path / "cache") as client:
        client.open(config.as_uri(), TEXT.replace("hidden_dim:", "hiden_dim:"))
        described = client.request("trickster/describeConfig", {"configUri": config.as_uri()})
        assert described["valid"] is False
        assert described["runIds"] == [str(real / "runs" / "a-001")]


def test_runs_in_a_folder_beside_the_configs_are_listed_once(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "configs").mkdir(parents=True)
    (workspace / "configs" / "corpus.txt").write_text("to be or not to be " * 200, encoding="utf-8")
    text = set_values(TEXT, {"output_config.output_dir": "../runs"})
    config = workspace / "configs" / "a.trickster.yaml"
    config.write_text(text, encoding="utf-8")
    write_run(workspace / "runs" / "a-001", status(3), config_path=config, text=text)
    with start(workspace, tmp_path / "cache") as client:
        client.open(config.as_uri(), text)
        described = client.request("trickster/describeConfig", {"configUri": config.as_uri()})
        assert described["outputDirectory"] == str(workspace / "runs")
        assert described["runIds"] == [str(workspace / "runs" / "a-001")]
        # The folder that the config names is looked into as well by the time that a new run in it is found.
        write_run(workspace / "runs" / "b-001", status(3), config_path=config, text=text)
        until(lambda: set(names(client)) == {"a-001", "b-001"}, 20)
        assert names(client) == ["a-001", "b-001"]


def test_a_new_run_is_named_without_dots(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    runs = Runs(TricksterServer().services)
    made = asyncio.run(runs._free_run_directory(tmp_path / "configs" / ".." / "runs", "a"))
    assert made == tmp_path / "runs" / "a-001"
