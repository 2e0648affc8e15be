"""A deleted run leaves nothing behind that a later one could take for its own, and takes nothing else with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.run_files import checkpoint, status, write_checkpoint, write_run
from tests.server.test_places import TEXT, start
from trickster_engine.config import set_values
from trickster_engine.runs import RunDirectory
from trickster_engine.system.processes import lock_file

LOG = "2026-01-01 10:00:00,000 INFO starting at step 0\n"
UID = "5f0c"


def run_with_folders(folder: Path, where: str, uid: str = UID, **output: str) -> RunDirectory:
    """A run whose config keeps checkpoints and logs elsewhere, as the trainer fills them."""
    changes = {f"output_config.{key}": value for key, value in output.items()}
    text = set_values(TEXT, changes) if changes else TEXT
    path = folder / where
    run = write_run(path, status(3), checkpoint(3), config_path=folder / "a.trickster.yaml", text=text, uid=uid)
    if "checkpoint_dir" in output and not (folder / output["checkpoint_dir"] / path.name).exists():
        write_checkpoint(folder / output["checkpoint_dir"] / path.name / "step-000003", uid)
    if "log_dir" in output:
        log = folder / output["log_dir"] / path.name / "log.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(LOG, encoding="utf-8")
    return run


def asked(folder: Path, run: RunDirectory, cache: Path, **more: Any) -> dict[str, Any]:
    with start(folder, cache) as client:
        answer = client.wait(client.begin("trickster/deleteRun", {"runId": str(run.path), **more}))
        assert client.errors() == []
        return answer


def deleted(folder: Path, run: RunDirectory, cache: Path, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = asked(folder, run, cache, **more)["result"]
    return result


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_deleted_run_leaves_nothing_that_a_later_one_could_inherit(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    run = run_with_folders(folder, "runs/a-001", checkpoint_dir="weights", log_dir="../logs")
    run_with_folders(folder, "runs/a-002", "other", checkpoint_dir="weights", log_dir="../logs")
    (folder / "weights" / "notes.txt").write_text("mine", encoding="utf-8")
    more = ("lock", ".x.json.tmp", "config-until-step-3.yaml")
    for name in ("samples.md", "latest.json", "best.json", "report.html", "log.txt", "stop", *more):
        (run.path / name).write_text("x", encoding="utf-8")
    for name in ("final", "initial", "teacher", "teacher-2", "teacher-8"):
        write_checkpoint(run.path / name, UID)
    (run.path / "tensorboard").mkdir()
    (run.path / "tensorboard" / "events.out.tfevents.1.here").write_bytes(b"x")
    cut_off = run.path / "checkpoints" / ".step-000006.77.tmp"
    write_checkpoint(cut_off, UID)
    (cut_off / "trainer" / "manifest.json").unlink()
    before = below(tmp_path)
    wanted = [str(path) for path in (folder / "weights" / "a-001", tmp_path / "logs" / "a-001", run.path)]
    shown = deleted(folder, run, tmp_path / "cache", dryRun=True)
    assert (shown["removed"], shown["kept"]) == (wanted, [])
    assert [one for one in below(tmp_path) if not one.startswith("cache")] == before
    assert deleted(folder, run, tmp_path / "cache") == shown
    assert not any(Path(path).exists() for path in wanted)
    assert sorted(path.name for path in (folder / "weights").iterdir()) == ["a-002", "notes.txt"]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["a-002"]
    assert (folder / "runs" / "a-002" / "checkpoints" / "step-000003" / "model.safetensors").is_file()


def test_a_path_in_a_file_of_a_run_removes_nothing_that_is_not_marked_as_its_own(tmp_path: Path) -> None:
    folder, victim = tmp_path / "w", tmp_path / "victim"
    for name in ("letter.txt", "log.txt", "step-000001/thesis.txt", "step-000002/model.safetensors"):
        file = victim / "Documents" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("dear", encoding="utf-8")
    write_checkpoint(victim / "Documents" / "step-000003", "of another run")
    run = run_with_folders(folder, "Documents", uid=UID)
    changes = {f"output_config.{key}": str(victim) for key in ("checkpoint_dir", "log_dir")}
    run.config_path.write_text(set_values(TEXT, changes), encoding="utf-8")
    before = below(victim)
    found = deleted(folder, run, tmp_path / "cache")
    assert found["removed"] == [str(run.path)]
    assert found["kept"] == [str(victim / "Documents")]
    assert below(victim) == before


def test_a_run_of_before_there_were_ids_loses_nothing_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    run = run_with_folders(folder, "runs/a-001", uid="", checkpoint_dir="weights")
    found = deleted(folder, run, tmp_path / "cache")
    assert (found["removed"], found["kept"]) == ([str(run.path)], [str(folder / "weights" / "a-001")])
    assert (folder / "weights" / "a-001" / "step-000003" / "trainer" / "manifest.json").is_file()


def test_what_a_person_has_put_into_a_run_stays_and_is_named(tmp_path: Path) -> None:
    run = run_with_folders(tmp_path / "w", "runs/a-001")
    mine = ["notes.txt", "plots/loss.png", "checkpoints/step-000003/model.gguf", "checkpoints/step-1/x", "final/x"]
    for name in mine:
        file = run.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine", encoding="utf-8")
    found = deleted(tmp_path / "w", run, tmp_path / "cache")
    kept = ["checkpoints/step-000003/model.gguf", "checkpoints/step-1", "final", "notes.txt", "plots"]
    assert sorted(found["kept"]) == [str(run.path / name) for name in kept]
    assert sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()) == sorted(
        mine
    )


def test_deleting_spares_what_another_run_of_the_name_uses(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    run = run_with_folders(folder, "runs/a-001", checkpoint_dir="weights")
    run_with_folders(folder, "more/a-001", checkpoint_dir="weights")
    deleted(folder, run, tmp_path / "cache")
    assert not run.path.exists()
    assert (folder / "weights" / "a-001" / "step-000003" / "model.safetensors").is_file()


def test_folders_in_the_persons_own_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    run = run_with_folders(tmp_path / "w", "runs/a-001", checkpoint_dir="~/weights")
    write_checkpoint(tmp_path / "home" / "weights" / "a-001" / "step-000003", UID)
    found = deleted(tmp_path / "w", run, tmp_path / "cache")
    assert found["removed"] == [str(tmp_path / "home" / "weights" / "a-001"), str(run.path)]
    assert not (tmp_path / "home" / "weights" / "a-001").exists()


def test_a_run_that_is_trained_is_not_deleted(tmp_path: Path) -> None:
    run = run_with_folders(tmp_path / "w", "runs/a-001")
    with (run.path / "lock").open("w", encoding="utf-8") as lock:
        assert lock_file(lock)
        for dry in (True, False):
            assert asked(tmp_path / "w", run, tmp_path / "cache", dryRun=dry)["error"]["code"] == 1003
    assert run.events_path.is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_no_link_is_followed_or_removed(tmp_path: Path) -> None:
    folder, kept = tmp_path / "w", tmp_path / "kept"
    run = run_with_folders(folder, "runs/a-001", checkpoint_dir="weights")
    (folder / "weights").rename(kept)
    (folder / "weights").mkdir()
    (folder / "weights" / "a-001").symlink_to(kept / "a-001", target_is_directory=True)
    write_checkpoint(kept / "step-000009", UID)
    (run.path / "checkpoints" / "step-000009").symlink_to(kept / "step-000009", target_is_directory=True)
    (run.path / "final").symlink_to(kept / "step-000009", target_is_directory=True)
    (kept / "shell").write_text("mine", encoding="utf-8")
    (run.path / "samples.md").symlink_to(kept / "shell")
    (run.path / "checkpoints" / "step-000003" / "model.safetensors").unlink()
    (run.path / "checkpoints" / "step-000003" / "model.safetensors").symlink_to(kept / "shell")
    before = below(kept)
    found = deleted(folder, run, tmp_path / "cache")
    links = ["checkpoints/step-000003/model.safetensors", "checkpoints/step-000009", "final", "samples.md"]
    assert sorted(found["kept"]) == [str(run.path / name) for name in links]
    assert below(kept) == before
