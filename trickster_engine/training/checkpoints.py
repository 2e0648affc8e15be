"""Checkpoints that are whole or not there at all.

    checkpoints/step-001000/
        config.json  generation_config.json  model.safetensors  tokenizer.json  tokenizer_config.json
        trainer/state.json              step, best losses, fingerprint of the data, early stopping
        trainer/optimizer.safetensors   trainer/random.safetensors
        trainer/manifest.json           size and SHA-256 of every file above; written last

A checkpoint is written into a temporary sibling, flushed, read back, and only then renamed. Which checkpoint is the
newest whole one is decided from the folders themselves; `latest.json` and `best.json` are a convenience for people.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError
from safetensors.numpy import load_file

from trickster_engine.config.plan import ModelConfig
from trickster_engine.errors import TricksterError
from trickster_engine.files import sync_file, sync_folder, write_json_atomically
from trickster_engine.model.huggingface import open_model, write_model
from trickster_engine.model.stored_arrays import Array, StoredArrays, save_arrays
from trickster_engine.training.team import ALONE, Team

TRAINER_FOLDER = "trainer"
MANIFEST_FILE = "manifest.json"
STATE_FILE = "state.json"
OPTIMIZER_STEM = "optimizer"
RANDOM_STEM = "random"
_NAME = re.compile(r"step-\d{6,}")


class SavesItself(Protocol):
    """A tokenizer, as far as a checkpoint is concerned."""

    def save(self, directory: Path) -> None:
        """Write `tokenizer.json` and what belongs to it into a folder."""


@dataclass(frozen=True)
class TrainerState:
    """What the loop needs to go on as if it had never stopped. Losses in nats."""

    step: int
    data_fingerprint: str
    device: str  # tt, cuda, mps or cpu
    precision: str
    compiled: bool = False
    last_eval_step: int = -1
    train_loss: float | None = None
    val_loss: float | None = None
    best_val_losses: dict[str, float] = field(default_factory=dict)  # checkpoint folder name -> val_loss
    evaluations_without_improvement: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, read and verified."""

    path: Path
    config: ModelConfig
    weights: Mapping[str, Array]
    optimizer_state: Mapping[str, Array]
    random_state: Mapping[str, Array]
    state: TrainerState


class CheckpointStore:
    """The checkpoints of one run, below one folder."""

    def __init__(
        self, folder: Path, pointer_folder: Path, keep_best: int, team: Team = ALONE, run_uid: str = ""
    ) -> None:
        """`pointer_folder` receives `latest.json` and `best.json`; the best `keep_best` and the newest two are kept.

        In a team only the leader touches the disk; the others call the same methods and hear what came of it.
        """
        self.folder = folder
        self.run_uid = run_uid
        self._pointers = pointer_folder
        self._keep_best = keep_best
        self._team = team

    def save(
        self,
        state: TrainerState,
        config: ModelConfig,
        weights: Mapping[str, Array],
        optimizer_state: Mapping[str, Array],
        random_state: Mapping[str, Array],
        tokenizer: SavesItself,
    ) -> Path:
        """Write one checkpoint and drop those that are no longer kept. Raises OSError, leaving nothing half-written."""
        target = self.folder / checkpoint_name(state.step)
        if not self._team.leads:
            take_part(weights)
            take_part(optimizer_state)
            return target
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        temporary = self.folder / f".{target.name}.{os.getpid()}.tmp"
        try:
            temporary.mkdir()
            write_model(temporary, config, weights)
            tokenizer.save(temporary)
            trainer = temporary / TRAINER_FOLDER
            trainer.mkdir()
            save_arrays(trainer, OPTIMIZER_STEM, optimizer_state)
            save_arrays(trainer, RANDOM_STEM, random_state)
            (trainer / STATE_FILE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
            seal(temporary)
            if target.exists():
                # The same weights, before they were evaluated. Out of the way in one step, not file by file.
                shutil.rmtree(self._renamed(target), ignore_errors=True)
            temporary.replace(target)
            sync_folder(self.folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._write_pointers(state, target)
        self._drop_old(state)
        return target

    def sweep(self) -> None:
        """Remove what an earlier process left half-written."""
        for leftover in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)

    def steps(self) -> list[Path]:
        """The checkpoint folders, oldest first, whole or not."""
        return checkpoint_folders(self.folder)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None. Damaged ones are passed over."""
        path = self._team.shared(self.newest_whole() if self._team.leads else None)
        return None if path is None else _read(path)

    def newest_whole(self) -> Path | None:
        """The folder of the newest checkpoint that is whole, or None."""
        for path in reversed(self.steps()):
            try:
                verify(path)
                read_state(path)
            except TricksterError:
                continue
            return path
        return None

    def _write_pointers(self, state: TrainerState, target: Path) -> None:
        relative = os.path.relpath(target, self._pointers)
        write_json_atomically(
            self._pointers / "latest.json", {"step": state.step, "path": relative, "val_loss": state.val_loss}
        )
        if not state.best_val_losses:
            return
        best = min(state.best_val_losses, key=lambda name: state.best_val_losses[name])
        path = os.path.relpath(self.folder / best, self._pointers)
        write_json_atomically(
            self._pointers / "best.json",
            {"step": step_of(best), "path": path, "val_loss": state.best_val_losses[best]},
        )

    def _drop_old(self, state: TrainerState) -> None:
        best = sorted(state.best_val_losses, key=lambda name: state.best_val_losses[name])[: self._keep_best]
        paths = self.steps()
        newest = [path.name for path in paths[-2:]]
        for path in paths:
            if path.name not in best and path.name not in newest:
                shutil.rmtree(self._renamed(path), ignore_errors=True)

    def _renamed(self, path: Path) -> Path:
        """A checkpoint that goes, under another name: killed in the middle, this leaves no half of it to trip over."""
        return path.replace(self.folder / f".{path.name}.old.tmp")


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first, whole or not. A copy that somebody made under another name is none."""
    return sorted((path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)), key=lambda p: step_of(p.name))


def checkpoint_name(step: int) -> str:
    """`step-001000`: padded, so that names sort as numbers do."""
    return f"step-{step:06d}"


def step_of(name: str) -> int:
    """The step in a checkpoint's name."""
    return int(name.removeprefix("step-"))


def seal(folder: Path) -> None:
    """Flush every file below a folder, read it back, and write the manifest that makes it whole."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        sync_file(path)
    manifest = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": file_sha256(path)}
        for path in files
    }
    path = folder / TRAINER_FOLDER / MANIFEST_FILE
    path.parent.mkdir(exist_ok=True)
    # No newline at the end: cut short anywhere, it is no longer JSON.
    path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    sync_file(path)
    sync_folder(path.parent)
    sync_folder(folder)


def verify(folder: Path) -> None:
    """Raise TricksterError unless every file of a sealed folder is exactly as it was written."""
    manifest_path = folder / TRAINER_FOLDER / MANIFEST_FILE
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        for name, expected in manifest.items():
            path = folder / name
            if path.stat().st_size != expected["size"] or file_sha256(path) != expected["sha256"]:
                raise damaged(folder, f"{name} is not what was written")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, str(error)) from error


def damaged(folder: Path, reason: str) -> TricksterError:
    """The error for a checkpoint that cannot be used."""
    return TricksterError(
        "checkpoint-damaged",
        f"The checkpoint {folder} is damaged: {reason}.",
        "Use an earlier one: every folder below checkpoints/ stands on its own. Resume does so by itself.",
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def take_part(arrays: Mapping[str, object]) -> None:
    """Ask for every array, as the leader does who writes them: some are put together from all processes' shares."""
    for name in arrays:
        arrays[name]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify one checkpoint. Raises TricksterError where it is damaged or holds no trainer's state."""
    verify(path)
    return _read(path)


def read_state(path: Path) -> TrainerState:
    """What a checkpoint's trainer knew. Raises TricksterError."""
    try:
        return TrainerState(**json.loads((path / TRAINER_FOLDER / STATE_FILE).read_text(encoding="utf-8")))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error


def _read(path: Path) -> Checkpoint:
    trainer = path / TRAINER_FOLDER
    try:
        config, weights = open_model(path)
        return Checkpoint(
            path=path,
            config=config,
            weights=weights,
            optimizer_state=StoredArrays(trainer, OPTIMIZER_STEM),
            random_state=load_file(trainer / f"{RANDOM_STEM}.safetensors"),
            state=read_state(path),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, str(error)) from error
