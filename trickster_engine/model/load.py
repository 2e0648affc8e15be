"""From a run directory or a checkpoint folder to a model that can write."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from trickster_engine.data.tokenizer import Tokenizer, load_tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.huggingface import CONFIG_FILE, read_model
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_engine.training.checkpoints import MANIFEST_FILE, TRAINER_FOLDER, checkpoint_folders, verify


def load_model(path: Path, checkpoint: str = "best") -> tuple[Llama, Tokenizer, Path]:
    """The model and tokenizer of a run (or of a model directory), and the folder they came from.

    `checkpoint` is `best`, `latest`, `final`, or the name of a folder below the run's checkpoints. Raises
    TricksterError where there is none, or it is damaged.
    """
    folder = checkpoint_folder(path, checkpoint)
    if (folder / TRAINER_FOLDER / MANIFEST_FILE).exists():
        verify(folder)
    config, weights = read_model(folder)
    model = Llama(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval(), load_tokenizer(folder), folder


def checkpoint_folder(path: Path, checkpoint: str = "best") -> Path:
    """The model directory that a path and a checkpoint's name mean. Raises TricksterError."""
    if (path / CONFIG_FILE).is_file():
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
    if not (folder / CONFIG_FILE).is_file():
        raise TricksterError(
            "checkpoint-missing",
            f"The run {path} has no checkpoint called {checkpoint}.",
            "The first one comes with the first evaluation or save; the folders below checkpoints/ are their names.",
        )
    return folder


def _pointed_to(run: Path, name: str) -> Path:
    """What `best.json` or `latest.json` names; without a usable pointer, the newest folder there is."""
    for pointer in (name, "latest"):
        try:
            folder = run / json.loads((run / f"{pointer}.json").read_text(encoding="utf-8"))["path"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if (folder / CONFIG_FILE).is_file():
            return Path(folder)
    folders = checkpoint_folders(RunDirectory(run).checkpoints_folder())
    return folders[-1] if folders else run / name
