"""A deleted run leaves nothing behind that a later one could take for its own, and takes nothing else with it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from trickster_server.runs.deleting import folders_elsewhere

from tests.server.run_files import status, write_run
from tests.server.test_places import TEXT, start
from trickster_engine.config import set_values
from trickster_engine.runs import RunDirectory


def run_with_folders(folder: Path, where: str, **output: str) -> RunDirectory:
    """A run whose config keeps checkpoints and logs elsewhere, as the trainer fills them."""
    changes = {f"output_config.{key}": value for key, value in output.items()}
    text = set_values(TEXT, changes) if changes else TEXT
    path = folder / where
    run = write_run(path, status(3), config_path=folder / "a.trickster.yaml", text=text)
    for key, name in (("checkpoint_dir", "step-000003/model.safetensors"), ("log_dir", "log.txt")):
        if key in output:
            file = folder / output[key] / path.name / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x")
    return run


def deleted(folder: Path, run: RunDirectory, cache: Path) -> Any:
    with start(folder, cache) as client:
        answer = client.wait(client.begin("trickster/deleteRun", {"runId": str(run.path)}))
        assert client.errors() == []
        return answer


def test_a_deleted_run_leaves_nothing_that_a_later_one_could_inherit(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    run = run_with_folders(folder, "runs/a-001", checkpoint_dir="weights", log_dir="../logs")
    other = run_with_folders(folder, "runs/a-002", checkpoint_dir="weights", log_dir="../logs")
    (folder / "weights" / "notes.txt").write_text("mine", encoding="utf-8")
    assert "result" in deleted(folder, run, tmp_path / "cache")
    assert not run.path.exists()
    assert not (folder / "weights" / "a-001").exists()
    assert not (tmp_path / "logs" / "a-001").exists()
    assert sorted(path.name for path in (folder / "weights").iterdir()) == ["a-002", "notes.txt"]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["a-002"]
    assert other.path.is_dir()


def test_deleting_spares_what_another_run_of_the_name_uses(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    run = run_with_folders(folder, "runs/a-001", checkpoint_dir="weights")
    run_with_folders(folder, "more/a-001", checkpoint_dir="weights")
    assert "result" in deleted(folder, run, tmp_path / "cache")
    assert not run.path.exists()
    assert (folder / "weights" / "a-001" / "step-000003").is_dir()


def test_nothing_but_a_runs_own_folders_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    inside = run_with_folders(folder, "runs/a-001", checkpoint_dir="runs", log_dir="runs/a-001/logs")
    assert folders_elsewhere(inside) == []
    around = run_with_folders(folder, "b-001/runs/b-001", checkpoint_dir=".")
    assert folders_elsewhere(around) == []
    nothing = run_with_folders(folder, "runs/c-001")
    assert folders_elsewhere(nothing) == []
    missing = run_with_folders(folder, "runs/d-001", checkpoint_dir="weights")
    shutil.rmtree(folder / "weights")
    assert folders_elsewhere(missing) == []
    into_a_run = run_with_folders(folder, "runs/e-001", log_dir="other")
    shutil.rmtree(folder / "other")
    write_run(folder / "other" / "e-001", status(1))
    assert folders_elsewhere(into_a_run) == []
    never_began = run_with_folders(folder, "runs/f-001", checkpoint_dir="weights")
    (never_began.path / "run.json").unlink()
    assert folders_elsewhere(never_began) == []


def test_folders_in_the_persons_own_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    run = run_with_folders(tmp_path / "w", "runs/a-001", checkpoint_dir="~/weights", log_dir="~/logs")
    kept = [tmp_path / "home" / name / "a-001" for name in ("weights", "logs")]
    for folder in kept:
        folder.mkdir(parents=True)
    assert folders_elsewhere(run) == kept


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_in_the_place_of_checkpoints_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    run = run_with_folders(folder, "runs/a-001", checkpoint_dir="weights")
    (folder / "weights").rename(folder / "kept")
    (folder / "weights").mkdir()
    (folder / "weights" / "a-001").symlink_to(folder / "kept" / "a-001", target_is_directory=True)
    assert "result" in deleted(folder, run, tmp_path / "cache")
    assert not run.path.exists()
    assert (folder / "kept" / "a-001" / "step-000003").is_dir()
