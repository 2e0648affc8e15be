"""Run directories as a trainer leaves them, written without training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trickster_engine.config import preset_text
from trickster_engine.runs import RunDirectory, RunIdentity


def status(step: int, status: object = "training", t: float = 1.0) -> dict[str, Any]:
    return {"t": t, "kind": "status", "status": status, "step": step, "message": None}


def checkpoint(step: int, best: bool = False, path: str | None = None) -> dict[str, Any]:
    where = path or f"checkpoints/step-{step:06d}"
    return {"t": 1.0, "kind": "checkpoint", "path": where, "step": step, "val_loss": 1.0, "best": best}


def lines(*events: Mapping[str, object]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def write_checkpoint(folder: Path, uid: str = "") -> None:
    """The files of a checkpoint with a manifest that names them; the sums are nobody's here."""
    (folder / "trainer").mkdir(parents=True)
    names = ("model.safetensors", "trainer/state.json")
    for name in names:
        (folder / name).write_bytes(b"x")
    files = {name: {"size": 1, "sha256": ""} for name in names}
    manifest = {"format": 2, "run": uid, "step": 3, "files": files} if uid else files
    (folder / "trainer" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def write_run(
    path: Path,
    *events: dict[str, Any],
    config_path: Path | None = None,
    created: float = 5.0,
    text: str | None = None,
    uid: str = "",
) -> RunDirectory:
    """A run whose trainer is gone. `config_path` is what `run.json` says, as the engine writes it: links followed."""
    path.mkdir(parents=True)
    run = RunDirectory(path)
    run.config_path.write_text(text if text is not None else preset_text("pico"), encoding="utf-8")
    for event in events:
        if event["kind"] == "checkpoint":
            folder = Path(os.path.normpath(path / event["path"]))
            write_checkpoint(folder, uid)
    if config_path is not None:
        identity = RunIdentity(
            id=path.name,
            config_path=str(config_path.resolve()),
            created=created,
            host="elsewhere",
            pid=1,
            pid_started=1.0,
            backend="torch",
            device="cpu",
            precision="fp32",
            versions={},
            data={},
            parameters=1,
            baselines={},
            uid=uid,
        )
        (path / "run.json").write_text(json.dumps(asdict(identity)), encoding="utf-8")
    run.events_path.write_text(lines(*events), encoding="utf-8")
    return run
