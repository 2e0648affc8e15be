"""A copy of a model in a run's folder, so that the folder it came from may change or go.

It holds the files as they were, `source.json` (where they were, and their sums then), and is sealed as a checkpoint is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trickster_engine.config.llama_file import WEIGHTS_STEM
from trickster_engine.config.plan import ModelConfig
from trickster_engine.model.checksums import seal, verify_model
from trickster_engine.model.huggingface import open_model
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs.directory import RunDirectory
from trickster_engine.system.files import open_plain, read_json
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.system.replace_folder import discard
from trickster_engine.system.safetensors_header import read_places

_COPIED = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "model.safetensors.index.json",
)  # fmt: skip
_ORIGIN_FILE = "source.json"
_AT_ONCE = 8 << 20


def copy_model(
    run: RunDirectory, name: str, source: Path, written: str | None, require: Callable[[ModelConfig], None]
) -> None:
    """Copy the model in `source`, in the config `written`, into folder `name` of a run whose lock is held.

    `require` raises at a model that will not do. Raises TricksterError, and then leaves nothing.
    """
    verify_model(source)
    open_model(source, follow_links=True)  # what is wrong with it is said of it, not of the copy
    target = run.path / name
    try:
        places = read_places(source, WEIGHTS_STEM, follow_links=True).values()
        names = {place.path.name for place in places} | set(_COPIED)
        target.mkdir()
        sums = {file: _copy(source / file, target / file) for file in sorted(names)}
        origin = {
            "written": written,
            "path": str(source.resolve()),
            "files": {file: sha256 for file, sha256 in sums.items() if sha256},
        }
        (target / _ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
        seal(target, run.uid(), 0)
        require(open_model(target)[0])
    except OSError as error:
        discard(target)
        elsewhere = "choose another folder with output_config.output_dir"
        raise cannot_write(error, f"{target}, a copy of {source}", elsewhere) from error
    except BaseException:
        discard(target)
        raise


def copied_from(run: RunDirectory, name: str) -> dict[str, Any]:
    """Where a copy came from, for `run.json`; empty where there is none."""
    try:
        origin: dict[str, Any] = read_json(run.path / name / _ORIGIN_FILE)
        return origin if isinstance(origin, dict) else {}
    except (OSError, ValueError):
        return {}


def copied_model(run: RunDirectory, name: str) -> tuple[ModelConfig, Mapping[str, Array]]:
    """The shape of a copy and its weights, read when they are asked for. Raises TricksterError."""
    folder = run.path / name
    verify_model(folder)
    return open_model(folder)


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
