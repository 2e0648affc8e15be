"""Processes that hold a model together: the curve of one, the same checkpoints, and the memory that was promised."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import dialogue
from tests.engine.training.test_processes import AtStep, Config, begin_watched, ranks_of, same_curve, several
from tests.engine.training.test_resume import begin, same_checkpoint
from trickster_engine.config import check, preset_text, set_values
from trickster_engine.estimates.memory import training_memory
from trickster_engine.model.huggingface import read_model
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.event_types import Event
from trickster_engine.training.start import resume, start

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are found through /proc")

ADAMW = {"optimizer": "adamw", "activation_checkpointing": True}


def sharded(count: int, **changes: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    merged = several(count, **{"training_config": ADAMW, **changes})
    return {**merged, "device_config": {**merged["device_config"], "sharding": "full" if count > 1 else "none"}}


def test_two_that_share_the_model_learn_what_one_learns_and_any_number_goes_on(
    tiny_config: Config, tmp_path: Path
) -> None:
    one, _ = begin(tiny_config("one", **several(1, training_config={"optimizer": "adamw"})))
    config = tiny_config("two", **sharded(2))
    straight, outcome = begin(config)
    assert outcome == "finished"
    same_curve(one, straight, 1e-5)

    broken = RunDirectory(tmp_path / "broken")
    assert begin_watched(config, broken.path, AtStep(9, lambda run: run.request_stop())) == "stopped"
    newest = sorted((broken.path / "checkpoints").glob("step-*"))[-1]
    assert read_model(newest)[0].hidden_dim == 32
    for count in (2, 1):
        copy = RunDirectory(tmp_path / f"by-{count}")
        shutil.copytree(broken.path, copy.path)
        changes = {"mesh_shape": f"[1, {count}]", "enable_ddp": str(count > 1).lower(), "sharding": "none"}
        overrides = {f"device_config.{key}": value for key, value in changes.items()} if count == 1 else None
        assert resume(copy, overrides, show_progress=False) == "finished"
        same_curve(straight, copy, 1e-5)
        if count == 2:
            same_checkpoint(straight.path / "checkpoints/step-000024", copy.path / "checkpoints/step-000024")


class Peak:
    """The most memory that any training process has held, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0

    def ready(self, run: RunDirectory, plan: object, identity: object) -> None:
        pass

    def event(self, event: Event) -> None:
        for pid in ranks_of(os.getpid()).values():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            held = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
            self.bytes = max(self.bytes, *held, 0)


@pytest.mark.parametrize(
    ("preset", "width", "heads", "mlp", "recompute"),
    [("midi", 384, 6, 1152, False), ("mega", 384, 6, 1056, True)],
)
def test_the_large_presets_at_full_depth_hold_what_was_estimated(
    tmp_path: Path, preset: str, width: int, heads: int, mlp: int, recompute: bool
) -> None:
    (tmp_path / "play.txt").write_text(dialogue(1_500), encoding="utf-8")
    changes = {
        "hidden_dim": width, "num_heads": heads, "mlp_dim": mlp, "max_seq_len": 128, "batch_size": 4,
        "gradient_accumulation_steps": 1, "max_steps": 2, "warmup_steps": 1, "eval_interval": 2, "save_interval": 2,
        "log_interval": 1, "precision": "fp32", **ADAMW, "activation_checkpointing": str(recompute).lower(),
        "device_type": "cpu", "mesh_shape": "[1, 2]", "enable_ddp": "true", "sharding": "full",
        "corpus": "play.txt", "max_new_tokens": 2, "prompt": "ROMEO:",
    }  # fmt: skip
    text = set_values(preset_text(preset), {key: str(value) for key, value in changes.items()})
    plan = check(text).plan
    assert plan is not None
    assert plan.model.num_layers == {"midi": 12, "mega": 22}[preset]
    peak = Peak()
    _, outcome = start(tmp_path / f"{preset}.yaml", text, plan, [peak], show_progress=False)
    assert outcome == "finished"
    assert training_memory(plan).total == pytest.approx(peak.bytes, rel=0.15)
