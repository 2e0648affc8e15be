"""A checkpoint is whole wherever a process is killed, whatever it was in the middle of."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.training.reading import read_checkpoint
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.shapes import weight_shapes
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.runs.checkpoint_files import Continuation, TrainerState
from trickster_engine.training.checkpoints import CheckpointStore

PLAN = Plan(model=ModelConfig(hidden_dim=8, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=8, max_seq_len=8))


def arrays(step: int) -> dict[str, np.ndarray]:
    return {name: np.full(shape, step, dtype=np.float32) for name, shape in weight_shapes(PLAN.model).items()}


def save(store: CheckpointStore, step: int, best: dict[str, float]) -> None:
    state = TrainerState(step, "text", "cpu", "fp32", best_val_losses=best)
    weights = arrays(step)
    store.save(PLAN, weights, byte_tokenizer(), Continuation(state, weights, {"seed": np.array([step])}))


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
    from trickster_engine.system import replace_folder

    replace_folder._exchange = counted(replace_folder._exchange)


def killed_at(call: int, folder: Path) -> tuple[bool, int]:
    """Run all saves in a process that is killed at a call: whether it was, and how many saves were done before."""
    if sys.platform == "win32":
        pytest.skip("forks")
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
