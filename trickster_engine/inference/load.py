"""From a run directory or a checkpoint folder to a model that can write."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trickster_engine.config.llama_file import CONFIG_FILE
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.starting_weights import model_folder
from trickster_engine.data.make_tokenizer import load_tokenizer, require_vocabulary
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import verify, verify_model
from trickster_engine.model.huggingface import open_model, read_model
from trickster_engine.model.llama import Llama
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_engine.runs.checkpoint_files import NAME, checkpoint_folders, checkpoint_name, read_state
from trickster_engine.runs.initial import initial_weights
from trickster_engine.runs.teacher import teacher_models
from trickster_engine.system.files import path_meant, read_json

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
    model = with_weights(config, weights)
    run = next((place for place in (path, *path.parents) if is_run_directory(place)), None)
    plan = RunDirectory(run).plan_if_readable() if run is not None else None
    if plan is not None and plan.data.mask_documents:
        model.model.document_end = tokenizer.end_id
    return model, tokenizer, folder


class Before(NamedTuple):
    """A model as it was before its training, and what it is called: `random model` or `starting weights`."""

    model: Llama
    name: str


def before_training(run: RunDirectory, plan: Plan, config: ModelConfig) -> Before:
    """The model that a run of `plan` began with, in the shape of its checkpoints. Raises TricksterError."""
    if plan.model.init_from is None:
        return Before(Llama(config).initialize(plan.training.seed).eval(), "random model")
    return Before(with_weights(config, initial_weights(run, plan)), "starting weights")


def model_to_begin_with(plan: Plan, folder: Path) -> Before:
    """The model that a run of `plan` would begin with; `folder` is that of its config. Raises TricksterError."""
    if plan.model.init_from is None:
        return Before(Llama(plan.model).initialize(plan.training.seed).eval(), "random model")
    _, weights = open_model(model_named(plan.model.init_from, folder), follow_links=True)
    return Before(with_weights(plan.model, weights), "starting weights")


def teachers_of(run: RunDirectory, plan: Plan, tokenizer: Tokenizer) -> list[Llama]:
    """The models that teach a run, without dropout. Raises TricksterError."""
    models = teacher_models(run, plan, tokenizer)
    return [with_weights(replace(config, dropout=0.0), weights) for config, weights in models]


def model_named(written: str, folder: Path) -> Path:
    """The model's folder that a config in `folder` names; of a run, its best checkpoint. Raises TricksterError."""
    path = path_meant(folder, written)
    return checkpoint_folder(path) if is_run_directory(path) else model_folder(path)


def with_weights(config: ModelConfig, weights: Mapping[str, Array]) -> Llama:
    """A model with these weights, in evaluation mode."""
    model = Llama(config)
    model.load_state_dict(
        {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in weights.items()}
    )
    return model.eval()


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
