"""A checkpoint is whole wherever a process is killed, says whose it is, and notices flipped bits."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trickster_engine.cli import main
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.data.tokenizer import byte_tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.huggingface import weight_shapes
from trickster_engine.model.load import load_model
from trickster_engine.runs import RunDirectory, find_runs
from trickster_engine.training.checkpoints import CheckpointStore, TrainerState, read_checkpoint

Config = Callable[..., Path]
PLAN = Plan(model=ModelConfig(hidden_dim=8, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=8, max_seq_len=8))


def arrays(step: int) -> dict[str, np.ndarray]:
    return {name: np.full(shape, step, dtype=np.float32) for name, shape in weight_shapes(PLAN.model).items()}


def save(store: CheckpointStore, step: int, best: dict[str, float]) -> None:
    state = TrainerState(step, "text", "cpu", "fp32", best_val_losses=best)
    weights = arrays(step)
    store.save(state, PLAN, weights, weights, {"seed": np.array([step])}, byte_tokenizer())


#: A run's saves: step 1 again once it was evaluated, and steps that push out those that are no longer kept.
SAVES: list[tuple[int, dict[str, float]]] = [
    (1, {}),
    (1, {"step-000001": 2.0}),
    (2, {"step-000001": 2.0}),
    (3, {"step-000003": 1.0}),
    (4, {"step-000003": 1.0}),
]
CALLS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync", "open")


def die_at(call: int) -> None:
    """End this process, as SIGKILL would, right before the given call that changes something on the disk."""
    numbers = itertools.count()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **keywords: Any) -> Any:
            reads = function is real_open and not (arguments[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))
            if not reads and next(numbers) == call:
                os._exit(9)
            return function(*arguments, **keywords)

        return run

    real_open = os.open
    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    from trickster_engine import replacing

    replacing._exchange = counted(replacing._exchange)


def killed_at(call: int, folder: Path) -> tuple[bool, int]:
    """Run all saves in a process that is killed at a call: whether it was, and how many saves were done before."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            store = CheckpointStore(folder, folder.parent, 1, run_uid="mine")
            die_at(call)
            for step, best in SAVES:
                save(store, step, best)
                os.write(writing, b".")
            os._exit(0)
        except BaseException:
            os._exit(77)
    os.close(writing)
    done = b""
    while data := os.read(reading, 100):
        done += data
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 9, len(done)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_wherever_a_save_is_killed_the_newest_checkpoint_is_whole(tmp_path: Path) -> None:
    for call in itertools.count():
        folder = tmp_path / str(call) / "checkpoints"
        folder.mkdir(parents=True)
        killed, done = killed_at(call, folder)
        store = CheckpointStore(folder, folder.parent, 1, run_uid="mine")
        newest = store.newest()
        if done:
            assert newest is not None, call
            least = SAVES[done - 1][0]
            assert newest.state.step >= least, call
            assert all((newest.weights[name] == array).all() for name, array in arrays(newest.state.step).items())
            losses = newest.state.best_val_losses
            if losses:  # the best is kept, too
                best = min(losses, key=lambda name: losses[name])
                assert read_checkpoint(folder / best).state.step == int(best[-6:]), call
        store.sweep()
        assert all(path.name.startswith("step-") for path in folder.iterdir()), call
        shutil.rmtree(folder.parent)
        if not killed:
            break
    assert call > 100  # each rename, removal, flush and creation of five saves


def test_checkpoints_of_another_run_are_neither_used_nor_removed(tmp_path: Path) -> None:
    theirs = CheckpointStore(tmp_path, tmp_path, 1, run_uid="theirs")
    save(theirs, 1000, {})
    ours = CheckpointStore(tmp_path, tmp_path, 1, run_uid="ours")
    assert ours.newest() is None
    assert [path.name for path in ours.foreign()] == ["step-001000"]
    for step in (1, 2, 3, 4):
        save(ours, step, {})
    newest = ours.newest()
    assert newest is not None and newest.state.step == 4
    assert (tmp_path / "step-001000").is_dir()


@pytest.fixture
def finished(tiny_config: Config) -> RunDirectory:
    path = tiny_config(training_config={"max_steps": 4, "eval_interval": 2, "save_interval": 2})
    assert main(["train", str(path)]) == 0
    return next(find_runs(path.parent / "runs"))


CHANGES = {
    "num_heads": ("2", "4"),
    "mlp_dim": ("64", "96"),
    "max_seq_len": ("32", "64"),
    "dropout": ("0.1", "0.2"),
    "batch_size": ("4", "8"),
    "optimizer": ('"muon"', '"adamw"'),
}


def rewrite(run: RunDirectory, text: str, key: str, old: str, new: str) -> None:
    assert f"{key}: {old}\n" in text
    run.config_path.write_text(text.replace(f"{key}: {old}\n", f"{key}: {new}\n"), encoding="utf-8")


def test_a_config_edited_by_hand_trains_no_other_model(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    text = finished.config_path.read_text(encoding="utf-8").replace("max_steps: 4", "max_steps: 6")
    for key, (old, new) in CHANGES.items():
        rewrite(finished, text, key, old, new)
        assert main(["resume", str(finished.path)]) == 1, key
        said = capsys.readouterr().err
        assert "[fixed-for-the-run]" in said
        assert f"{key} is {new}, and was {old}" in said
    # What the text did not say: defaults are part of the plan.
    for added in ("rope_theta: 500.0", "norm_eps: 0.001"):
        finished.config_path.write_text(
            text.replace("model_config:\n", f"model_config:\n  {added}\n"), encoding="utf-8"
        )
        assert main(["resume", str(finished.path)]) == 1, added
        assert "[fixed-for-the-run]" in capsys.readouterr().err
    finished.config_path.write_text(text.replace("batch_size: 4", "batch_size: 2").replace(
        "gradient_accumulation_steps: 1", "gradient_accumulation_steps: 2"), encoding="utf-8")  # fmt: skip
    assert main(["resume", str(finished.path)]) == 0  # the same sequences in each update


def test_sample_and_compare_say_where_the_config_was_edited(
    finished: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(finished.path), "-p", "KING:", "--max-new-tokens", "8"]) == 0
    before = capsys.readouterr().out
    rewrite(finished, finished.config_path.read_text(encoding="utf-8"), "mlp_dim", "64", "96")
    assert main(["sample", str(finished.path), "-p", "KING:", "--max-new-tokens", "8"]) == 0
    written = capsys.readouterr()
    assert written.out == before
    assert "mlp_dim is 96, and was 64" in written.err
    assert main(["compare", str(finished.path), "--json"]) == 0
    assert "mlp_dim is 96, and was 64" in capsys.readouterr().err


def flipped(path: Path, chooser: random.Random) -> Iterator[int]:
    """Flip one bit of a file, and put it back afterwards."""
    data = path.read_bytes()
    place = chooser.randrange(len(data))
    path.write_bytes(data[:place] + bytes([data[place] ^ (1 << chooser.randrange(8))]) + data[place + 1 :])
    yield place
    path.write_bytes(data)


@pytest.mark.parametrize("copied", ["model", "checkpoint"])
def test_every_flipped_bit_is_noticed_also_in_a_copied_model(
    copied: str, finished: RunDirectory, tmp_path: Path
) -> None:
    source = finished.path / "checkpoints" / "step-000004"
    folder = tmp_path / "copy"
    shutil.copytree(source, folder)
    if copied == "model":
        shutil.rmtree(folder / "trainer")
    load_model(folder)
    chooser = random.Random(3)
    unnoticed = []
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (folder / "checksums.json") in files
    for path in files:
        for _ in range(8):
            for place in flipped(path, chooser):
                try:
                    load_model(folder)
                    unnoticed.append((path.name, place))
                except TricksterError:
                    pass
    assert unnoticed == []
    (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TricksterError, match="put there later"):
        load_model(folder)


BAD_CONFIGS: list[dict[str, Any]] = [
    {"num_hidden_layers": 10_000_000},
    {"num_attention_heads": 0},
    {"num_attention_heads": 3},
    {"hidden_size": "32"},
    {"hidden_size": True},
    {"vocab_size": -1},
    {"max_position_embeddings": 1 << 40},
    {"rms_norm_eps": 0},
    {"rope_theta": "fast"},
    {"hidden_act": "gelu"},
    {"attention_bias": True},
    {"rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    {"rope_parameters": [1]},
    {"tie_word_embeddings": 1},
]


def test_a_models_config_is_checked_before_anything_is_made(finished: RunDirectory, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(finished.path / "final", folder, ignore=shutil.ignore_patterns("trainer", "checksums.json"))
    load_model(folder)
    path = folder / "config.json"
    good = json.loads(path.read_text(encoding="utf-8"))
    texts = [json.dumps({**good, **changes}) for changes in BAD_CONFIGS]
    texts += ["[" * 100_000, "[]", "{}", '{"vocab_size": NaN}', json.dumps(good)[:-5]]
    for text in texts:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(TricksterError):
            load_model(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="links and FIFOs of POSIX")
@pytest.mark.timeout(60)
def test_what_is_no_plain_file_in_a_model_is_refused(finished: RunDirectory, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    shutil.copytree(finished.path / "final", folder, ignore=shutil.ignore_patterns("trainer", "checksums.json"))
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        kept = (folder / name).rename(tmp_path / name)
        for lay in (
            lambda at, kept=kept: at.symlink_to(kept),
            os.mkfifo,
            lambda at: at.symlink_to("/dev/zero"),
            os.mkdir,
        ):
            lay(folder / name)
            with pytest.raises(TricksterError):
                load_model(folder)
            (folder / name).rmdir() if (folder / name).is_dir() else (folder / name).unlink()
        kept.rename(folder / name)
    load_model(folder)
