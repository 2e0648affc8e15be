"""`initial/` in a run's folder: a copy of the weights that it started from, for a run that fine-tunes.

Resuming, comparing and reports use the copy alone, so the folder that `init_from` names may change or go. It holds the
files as they were, `source.json` (where they were, and their sums then), and is sealed as a checkpoint is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trickster_engine.config import set_values
from trickster_engine.config.check import settings_of
from trickster_engine.config.llama_file import WEIGHTS_STEM
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.plan_values import values_of
from trickster_engine.config.starting_weights import SHAPE
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import seal, verify_model
from trickster_engine.model.huggingface import open_model
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs.directory import RunDirectory
from trickster_engine.system.files import open_plain, read_json
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.system.replace_folder import discard
from trickster_engine.system.safetensors_header import read_places

INITIAL_FOLDER = "initial"
_COPIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "model.safetensors.index.json",
)  # fmt: skip
_ORIGIN_FILE = "source.json"
_TOKENIZER = "data_config.tokenizer"
_AT_ONCE = 8 << 20


def written_out(text: str, plan: Plan) -> str:
    """A config's text in which every key that follows `init_from`'s folder has its value: it needs that no more.

    Raises TricksterError where the text has no place for one.
    """
    if plan.model.init_from is None:
        return text
    given, values = settings_of(text).given, values_of(plan)
    follows = [path for path in (*(f"model_config.{name}" for name in SHAPE), _TOKENIZER) if path not in given]
    written = {path: value if isinstance(value := values[path], str) else json.dumps(value) for path in follows}
    return set_values(text, written)


def copy_initial(run: RunDirectory, plan: Plan, source: Path) -> None:
    """Copy the weights in `source` into a run whose lock is held. Raises TricksterError, and then leaves nothing."""
    verify_model(source)
    open_model(source, follow_links=True)  # what is wrong with it is said of it, not of the copy
    target = run.path / INITIAL_FOLDER
    try:
        places = read_places(source, WEIGHTS_STEM, follow_links=True).values()
        names = {place.path.name for place in places} | set(_COPIED)
        target.mkdir()
        sums = {name: _copy(source / name, target / name) for name in sorted(names)}
        origin = {
            "written": plan.model.init_from,
            "path": str(source.resolve()),
            "files": {name: sha256 for name, sha256 in sums.items() if sha256},
        }
        (target / _ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
        seal(target, run.uid(), 0)
        _require_shape(run, plan, open_model(target)[0])
    except OSError as error:
        discard(target)
        elsewhere = "choose another folder with output_config.output_dir"
        raise cannot_write(error, f"{target}, a copy of {source}", elsewhere) from error
    except BaseException:
        discard(target)
        raise


def initial_origin(run: RunDirectory) -> dict[str, Any]:
    """Where the weights of a run that fine-tunes came from, for `run.json`; empty for one from random weights."""
    try:
        origin: dict[str, Any] = read_json(run.path / INITIAL_FOLDER / _ORIGIN_FILE)
        return origin if isinstance(origin, dict) else {}
    except (OSError, ValueError):
        return {}


def initial_weights(run: RunDirectory, plan: Plan) -> Mapping[str, Array]:
    """The weights that a run of this plan starts from, read when they are asked for. Raises TricksterError."""
    folder = run.path / INITIAL_FOLDER
    try:
        verify_model(folder)
        config, weights = open_model(folder)
    except TricksterError as error:
        raise TricksterError(
            "initial-weights-damaged",
            f"The copy of the weights that {run.id} starts from is damaged or gone. {error.message}",
            "Restore it, or start a new run.",
        ) from error
    _require_shape(run, plan, config)
    return weights


def _require_shape(run: RunDirectory, plan: Plan, config: ModelConfig) -> None:
    folder = run.path / INITIAL_FOLDER
    for name in SHAPE:
        if name != "max_seq_len" and getattr(config, name) != getattr(plan.model, name):
            raise TricksterError(
                "initial-weights-damaged",
                f"{folder} is of another model: its {name} is {getattr(config, name)}, and in {run.config_path} it is "
                f"{getattr(plan.model, name)}.",
                "Restore the run's folder, or start a new run.",
            )


def with_own_tokenizer(run: RunDirectory, plan: Plan) -> Plan:
    """A run's plan whose tokenizer is that of the run's own copy, where it came with the weights."""
    if plan.model.init_from is None or plan.data.tokenizer != plan.model.init_from:
        return plan
    return replace(plan, data=replace(plan.data, tokenizer=str(run.path / INITIAL_FOLDER / "tokenizer.json")))


def _copy(source: Path, target: Path) -> str:
    """Copy a file, through links: the hub's cache is made of them. Its SHA-256; empty where there is no such file."""
    digest = hashlib.sha256()
    try:
        reading = open_plain(source, follow_links=True)
    except FileNotFoundError:
        return ""
    with reading, target.open("xb") as writing:
        while block := reading.read(_AT_ONCE):
            digest.update(block)
            writing.write(block)
    return digest.hexdigest()
