"""Models held in memory by a worker, so that the next question about one is answered without reading it again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trickster_engine.config.llama_file import CONFIG_FILE
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import before_training, checkpoint_folder, load_model
from trickster_engine.model.huggingface import read_model_config
from trickster_engine.model.llama import Llama
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.checkpoint_files import read_state

MODELS_KEPT = 2
"""So many in any case, so that two checkpoints can be compared without reading them over and over."""
BYTES_KEPT = 256 << 20
"""And more as long as their weights together take no more: a slider over a small model's checkpoints."""


class Loaded(NamedTuple):
    """A model in memory, and the folder it came from."""

    model: Llama
    tokenizer: Tokenizer
    folder: Path


_held: OrderedDict[tuple[Path, int, bool], Loaded] = OrderedDict()


def loaded(path: Path) -> Loaded:
    """The model of a checkpoint, or of a run's newest one. Raises TricksterError."""
    folder, modified_ns = newest(path)
    return _keep((folder, modified_ns, False), lambda: Loaded(*load_model(folder)))


def loaded_before_training(path: Path) -> Loaded:
    """The model that the run at `path` began with, beside the newest checkpoint's tokenizer. Raises TricksterError."""
    folder, modified_ns = newest(path)

    def load() -> Loaded:
        run = RunDirectory(path)
        plan, _ = run.begun()
        model = before_training(run, plan, read_model_config(folder)).model
        tokenizer = load_tokenizer(folder)
        if plan.data.mask_documents:
            model.model.document_end = tokenizer.end_id
        return Loaded(model, tokenizer, folder)

    return _keep((folder, modified_ns, True), load)


def newest(path: Path) -> tuple[Path, int]:
    """The folder of a checkpoint or of a run's newest one, and its time in ns: one of the same name is written again.

    Raises TricksterError.
    """
    folder = checkpoint_folder(path, "latest")
    try:
        modified_ns = (folder / CONFIG_FILE).stat().st_mtime_ns
    except OSError:
        modified_ns = 0
    return folder, modified_ns


def step_of(folder: Path) -> int | None:
    """The step that a checkpoint was saved after, where that is known."""
    try:
        return read_state(folder).step
    except TricksterError:
        digits = folder.name.removeprefix("step-")
        return int(digits) if digits.isdigit() else None


def _keep(key: tuple[Path, int, bool], load: Callable[[], Loaded]) -> Loaded:
    """What is held under a key, read first where it is not; those asked for longest ago make room."""
    if key not in _held:
        _held[key] = load()
    _held.move_to_end(key)
    while len(_held) > MODELS_KEPT and sum(map(_size, _held.values())) > BYTES_KEPT:
        _held.popitem(last=False)
    return _held[key]


def _size(held: Loaded) -> int:
    return sum(parameter.nbytes for parameter in held.model.parameters())
