"""From a run directory or a checkpoint folder to a model that can write."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch

from trickster_engine.data.make_tokenizer import load_tokenizer, require_vocabulary
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import verify, verify_model
from trickster_engine.model.config_file import CONFIG_FILE
from trickster_engine.model.huggingface import read_model
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_engine.runs.checkpoint_files import NAME, checkpoint_folders, checkpoint_name, read_state
from trickster_engine.system.files import read_json

_FOLDER_NAME = re.compile(r"[^/\\]+")


def load_model(path: Path, checkpoint: str = "best") -> tuple[Llama, Tokenizer, Path]:
    """The model and tokenizer of a run (or of a model directory), and the folder they came from.

    `checkpoint` is `best`, `latest`, `final`, or the name of a folder below the run's checkpoints. Raises
    TricksterError where there is none, or it is damaged.
    """
    folder = checkpoint_folder(path, checkpoint)
    verify_model(folder)
    config, weights = read_model(folder)
    tokenizer = load_tokenizer(folder)
    require_vocabulary(tokenizer, config.vocab_size)
    model = Llama(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval(), tokenizer, folder


def checkpoint_folder(path: Path, checkpoint: str = "best") -> Path:
    """The model directory that a path and a checkpoint's name mean. Raises TricksterError."""
    if _is_there(path):
        return path
    if not is_run_directory(path):
        raise TricksterError(
            "not-a-run",
            f"{path} is neither a run directory nor a checkpoint.",
            "List your runs with: trickster runs",
        )
    if checkpoint == "final":
        folder = path / "final"
    elif checkpoint in ("best", "latest"):
        folder = _pointed_to(path, checkpoint)
    else:
        folder = RunDirectory(path).checkpoints_folder() / checkpoint
    if (
        not _FOLDER_NAME.fullmatch(checkpoint)
        or checkpoint in (".", "..")
        or folder.is_symlink()
        or not _is_there(folder)
    ):
        raise TricksterError(
            "checkpoint-missing",
            f"The run {path} has no checkpoint called {checkpoint}.",
            "A run saves its first one with its first evaluation; their names are the folders in checkpoints/.",
        )
    return folder


def _is_there(folder: Path) -> bool:
    """Whether a folder holds a model, good or bad. One that may not be looked into holds none."""
    return os.path.lexists(folder / CONFIG_FILE)


def _pointed_to(run: Path, name: str) -> Path:
    """What `best.json` or `latest.json` names. Where they are of no use, the checkpoints themselves say it."""
    checkpoints = RunDirectory(run).checkpoints_folder()
    for pointer in (name, "latest"):
        folder = _pointer(run / f"{pointer}.json", checkpoints)
        if folder is not None:
            return folder
        named = _best_of(checkpoints) if pointer == "best" else None
        if named is not None:
            return named
    folders = checkpoint_folders(checkpoints)
    return folders[-1] if folders else run / name


def _pointer(path: Path, checkpoints: Path) -> Path | None:
    """The checkpoint that a pointer names, if it says the same twice. Only the name is taken from it, never a place."""
    try:
        pointer = read_json(path)
        name, step = re.split(r"[/\\]", pointer["path"])[-1], pointer["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    folder = checkpoints / name
    if not NAME.fullmatch(name) or type(step) is not int or name != checkpoint_name(step):
        return None
    return folder if _is_there(folder) and not folder.is_symlink() else None


def _best_of(checkpoints: Path) -> Path | None:
    """The best checkpoint by what the newest whole one remembers of all of them."""
    for path in reversed(checkpoint_folders(checkpoints)):
        try:
            verify(path)
            losses = read_state(path).best_val_losses
        except TricksterError:
            continue
        there = [name for name in losses if _is_there(checkpoints / name)]
        return checkpoints / min(there, key=lambda name: losses[name]) if there else path
    return None
