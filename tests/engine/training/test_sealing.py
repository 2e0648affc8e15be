"""Checkpoints at every moment of a save, under another run's name, with flipped bits, and beside an edited config."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.training.test_resume import begin
from tests.refusals import refused
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.config.plan_values import canonical, parse_values, plan_from
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import checkpoint_folder, load_model
from trickster_engine.model.checksums import read_manifest, seal, verify
from trickster_engine.runs import RunDirectory
from trickster_engine.system import replace_folder
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.start import resume

Config = Callable[..., Path]


def last(run: RunDirectory) -> Path:
    return sorted((run.path / "checkpoints").glob("step-*"))[-1]


def edit(run: RunDirectory, old: str, new: str) -> None:
    text = run.config_path.read_text(encoding="utf-8")
    assert old in text
    run.config_path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "two renames"])
def test_a_save_that_is_killed_at_any_call_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    """A child is killed before each rename, exchange, unlink and rmdir of a replacement, one after the other."""
    if sys.platform == "win32":
        pytest.skip("children are forked, which this system cannot do")

    def sealed(path: Path, word: str) -> Path:
        (path / "trainer").mkdir(parents=True)
        (path / "config.json").write_text(word)
        (path / "trainer/state.json").write_text(
            json.dumps({"step": 5, "data_fingerprint": "f", "device": "cpu", "precision": "fp32"})
        )
        seal(path, "ab" * 8, 5)
        return path

    if not can_exchange:
        monkeypatch.setattr(replace_folder, "_exchange", lambda *_: False)
    kills = 0
    for moment in range(1, 100):
        folder = tmp_path / str(moment)
        target = sealed(folder / "step-000005", "old")
        temporary = sealed(folder / f".step-000005.{'ab' * 8}-0.tmp", "new")
        aside = folder / f".step-000005.{'ab' * 8}-1.old.tmp"
        child = os.fork()
        if child == 0:
            count = 0

            def counted(call: Callable[..., Any]) -> Callable[..., Any]:
                def calling(*arguments: Any, **options: Any) -> Any:
                    nonlocal count
                    count += 1
                    if count == moment:  # noqa: B023 - the child ends within this round
                        os.kill(os.getpid(), 9)
                    return call(*arguments, **options)

                return calling

            for name in ("rename", "unlink", "rmdir"):
                setattr(os, name, counted(getattr(os, name)))
            replace_folder._exchange = counted(replace_folder._exchange)
            replace_folder.replace_folder(temporary, target, aside)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        store = CheckpointStore(folder, folder, 2, run_uid="ab" * 8)
        assert store.newest_whole() == target
        verify(target)
        store.sweep()
        assert [path.name for path in folder.iterdir()] == ["step-000005"]
        if not os.WIFSIGNALED(status):
            break
        kills += 1
    assert kills > 5
    assert (target / "config.json").read_text() == "new"


def test_a_checkpoint_of_another_run_is_neither_taken_nor_removed(tiny_config: Config) -> None:
    run, _ = begin(tiny_config())
    stranger = run.path / "checkpoints/step-000500"
    shutil.copytree(last(run), stranger)
    state = json.loads((stranger / "trainer/state.json").read_text())
    (stranger / "trainer/state.json").write_text(json.dumps({**state, "step": 500}))
    seal(stranger, "f" * 16, 500)
    assert resume(run, {"max_steps": "16"}, show_progress=False) == "finished"
    assert run.summary().step == 16
    assert str(stranger) in run.events_path.read_text(encoding="utf-8")
    verify(stranger)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("num_heads: 2", "num_heads: 4", "model_config.num_heads"),
        ("mlp_dim: 64", "mlp_dim: 96", "model_config.mlp_dim"),
        ("max_seq_len: 32", "max_seq_len: 16", "model_config.max_seq_len"),
        ("dropout: 0.1", "dropout: 0.2", "model_config.dropout"),
        ("dropout: 0.1", "dropout: 0.1\n  rope_theta: 500.0", "model_config.rope_theta"),
        ("dropout: 0.1", "dropout: 0.1\n  norm_eps: 0.001", "model_config.norm_eps"),
        ("batch_size: 4", "batch_size: 8", "training_config.batch_size"),
        ("batch_size: 4", "batch_size: 4\n  seed: 3", "training_config.seed"),
        ('optimizer: "muon"', 'optimizer: "adamw"', "training_config.optimizer"),
    ],
)
def test_an_edit_of_config_yaml_obeys_the_rule_of_set(
    stopped: RunDirectory, tmp_path: Path, old: str, new: str, key: str
) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(stopped.path, run.path)
    edit(run, old, new)
    with pytest.raises(TricksterError) as caught:
        resume(run, {"max_steps": "14"}, show_progress=False)
    assert caught.value.code == "fixed-for-the-run"
    assert key in caught.value.message and key in caught.value.advice
    assert run.summary().step == 12


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A finished run to copy."""
    from tests.engine.conftest import TINY, dialogue

    folder = tmp_path_factory.mktemp("stopped")
    (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
    lines = []
    for section, values in TINY.items():
        lines.append(f"{section}:\n" + "".join(f"  {name}: {json.dumps(value)}\n" for name, value in values.items()))
    path = folder / "tiny.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRICKSTER_CACHE_DIR", str(folder / "cache"))
        run, _ = begin(path)
    return run


def test_the_same_update_in_smaller_batches_may_go_on(tiny_config: Config) -> None:
    run, _ = begin(tiny_config())
    edit(run, "batch_size: 4", "batch_size: 2")
    edit(run, "gradient_accumulation_steps: 1", "gradient_accumulation_steps: 2")
    assert resume(run, {"max_steps": "14"}, show_progress=False) == "finished"


def test_a_checkpoint_of_before_there_were_plans_is_held_to_its_shape(stopped: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(stopped.path, run.path)
    for folder in (run.path / "checkpoints").iterdir():
        (folder / "trainer/plan.json").unlink()
        (folder / "checksums.json").unlink()
        sums = read_manifest(folder).files
        old = {
            name: {"size": file.size, "sha256": file.sha256}
            for name, file in sums.items()
            if name not in ("trainer/plan.json", "checksums.json")
        }
        (folder / "trainer/manifest.json").write_text(json.dumps(old, indent=1))
        verify(folder)
    load_model(run.path)
    edit(run, "dropout: 0.1", "dropout: 0.1\n  rope_theta: 500.0")
    with refused("fixed-for-the-run", "rope_theta"):
        resume(run, show_progress=False)


def test_sample_and_compare_say_what_the_checkpoint_knows_better(
    stopped: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(stopped.path, run.path)
    assert main(["compare", str(run.path), "--max-new-tokens", "5", "--json"]) == 0
    before = capsys.readouterr()
    edit(run, "num_heads: 2", "num_heads: 4")
    for command in ("sample", "compare"):
        assert main([command, str(run.path), "--max-new-tokens", "5", "--json"]) == 0
    after = capsys.readouterr()
    assert "model_config.num_heads is 4, and was 2" in after.err and "num_heads" not in before.err
    assert json.loads(before.out)["rows"] == json.loads(after.out[after.out.index("}\n{") + 2 :])["rows"]


def test_no_flipped_bit_of_a_copied_model_is_missed(stopped: RunDirectory, tmp_path: Path) -> None:
    """Twenty in every file of `final/`, copied without `trainer/`."""
    copy = tmp_path / "copied"
    shutil.copytree(stopped.path / "final", copy, ignore=shutil.ignore_patterns("trainer"))
    load_model(copy)
    chooser = random.Random(3)
    for file in sorted(copy.iterdir()):
        whole = file.read_bytes()
        for _ in range(20):
            content = bytearray(whole)
            content[chooser.randrange(len(content))] ^= 1 << chooser.randrange(8)
            file.write_bytes(content)
            with refused("checkpoint-damaged"):
                load_model(copy)
        file.write_bytes(whole)
    load_model(copy)


def test_no_flipped_bit_of_a_checkpoint_or_pointer_is_silently_wrong(stopped: RunDirectory, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(stopped.path, run.path)
    meant = checkpoint_folder(run.path, "best").name
    chooser = random.Random(4)
    for file in [run.path / "best.json", *(p for p in last(run).rglob("*") if p.is_file())]:
        whole = file.read_bytes()
        for _ in range(20):
            content = bytearray(whole)
            content[chooser.randrange(len(content))] ^= 1 << chooser.randrange(8)
            file.write_bytes(content)
            if file.name == "best.json":
                assert checkpoint_folder(run.path, "best").name == meant
                continue
            with refused("checkpoint-damaged"):
                verify(last(run))
        file.write_bytes(whole)


@pytest.mark.parametrize("kind", ["link", "fifo", "device", "folder"])
def test_only_plain_files_of_a_model_are_read(stopped: RunDirectory, tmp_path: Path, kind: str) -> None:
    if sys.platform == "win32":
        pytest.skip("needs links and FIFOs")
    for sums in (True, False):
        copy = tmp_path / f"copied-{sums}"
        shutil.copytree(stopped.path / "final", copy, ignore=shutil.ignore_patterns("trainer"))
        if not sums:
            (copy / "checksums.json").unlink()
        for name in ("config.json", "model.safetensors"):
            elsewhere = tmp_path / name
            (copy / name).replace(elsewhere)
            if kind == "folder":
                (copy / name).mkdir()
            elif kind == "fifo":
                os.mkfifo(copy / name)
            else:
                (copy / name).symlink_to(elsewhere if kind == "link" else "/dev/zero")
            with refused("checkpoint-damaged"):
                load_model(copy)
            if kind == "folder":
                (copy / name).rmdir()
            else:
                (copy / name).unlink()
            elsewhere.replace(copy / name)
        load_model(copy)


@pytest.mark.parametrize("path", ["../../../elsewhere/step-000012", "/elsewhere/step-000012", "step-000012/../../x", 7])
def test_a_pointer_names_a_checkpoint_and_no_place(stopped: RunDirectory, tmp_path: Path, path: object) -> None:
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(stopped.path, run.path)
    for name in ("latest", "best"):
        (run.path / f"{name}.json").write_text(json.dumps({"step": 12, "path": path}))
    for name in ("latest", "best"):
        assert checkpoint_folder(run.path, name).parent == run.path / "checkpoints"
    with refused("checkpoint-missing"):
        checkpoint_folder(run.path, "../checkpoints/step-000012")


def test_the_text_of_a_plan_stands_for_it(tiny_config: Config) -> None:
    plan = check(tiny_config().read_text()).plan
    assert plan is not None
    assert plan_from(parse_values(canonical(plan))) == plan
    same = check(tiny_config(model_config={"dropout": 0.10}, training_config={"learning_rate": 3e-3}).read_text()).plan
    assert same is not None
    assert canonical(same) == canonical(plan)
