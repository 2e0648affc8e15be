"""The weights that `model_config.init_from` names: a Hugging Face Llama's folder, a checkpoint, or a run.

Only what says which model it is gets read: config.json, the headers of the safetensors files, whether there is a
tokenizer. Standard library only. Nothing is unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trickster_engine.config.corpus_files import TENSOR_SUFFIXES
from trickster_engine.config.keys.model import ModelConfig
from trickster_engine.config.llama_file import CONFIG_FILE, FLOATS, WEIGHTS_STEM, misfit, model_config_in
from trickster_engine.config.llama_file import not_of_the_model as passed_over
from trickster_engine.config.own_output import RUN, kind_of_output
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import path_meant, read_json
from trickster_engine.system.os_errors import reason
from trickster_engine.system.safetensors_header import index_name, read_places

INIT = "model_config.init_from"
TEACHER = "training_config.distill_from"
TOKENIZER_JSON = "tokenizer.json"
#: Keys of `model_config` that the folder does not decide.
FREE = ("init_from", "dropout")
#: What follows the folder where the config leaves it out.
SHAPE = tuple(name for name in ModelConfig.__dataclass_fields__ if name not in FREE)
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_LOOKED_AT = 500  # entries of all folders
_CONVERT = (
    "Pickles can run any code, so none is opened. Of a Llama that you trust, transformers makes safetensors: "
    "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW). nanoGPT's ckpt.pt is a GPT-2, which no Llama "
    "can express: import its data."
)


@dataclass(frozen=True)
class StartingWeights:
    """What is known of the weights that a config names, without reading them."""

    written: str  # as the config names them
    folder: Path  # of the model itself: of a run, one of its checkpoints
    model: ModelConfig
    has_tokenizer: bool
    is_byte: bool  # whether that tokenizer has the 256 bytes and nothing else
    precision: str  # what kind of numbers most of the weights are stored in, as safetensors says it
    size: int  # bytes of weights


def find_starting_weights(written: str, folder: Path) -> StartingWeights:
    """What `init_from: written` means in a config in `folder`.

    Raises TricksterError: init-from-missing, init-from-pickle, init-from-unusable.
    """
    path = path_meant(folder, written)
    model = model_folder(path)
    try:
        config = model_config_in(model, follow_links=True)
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise _unusable(model / CONFIG_FILE, why) from error
    try:
        places = read_places(model, WEIGHTS_STEM, follow_links=True)
        spare = passed_over({name: place.shape for name, place in places.items()}, config)
        places = {name: place for name, place in places.items() if name not in spare}
        if another := misfit({name: place.shape for name, place in places.items()}, config):
            raise ValueError(f"it is not the model of its config.json: {another}")
        if others := sorted({place.type for place in places.values()} - set(FLOATS)):
            raise ValueError(f"its numbers are {others[0]}, not one of {', '.join(FLOATS)}")
    except OSError as error:
        raise _unusable(model, reason(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unusable(model, str(error)) from error
    largest = max(places.values(), key=lambda place: place.nbytes)
    has_tokenizer = _is_file(model / TOKENIZER_JSON)
    is_byte = has_tokenizer and config.vocab_size <= 1024 and _is_byte(model / TOKENIZER_JSON)
    size = sum(place.nbytes for place in places.values())
    return StartingWeights(written, model, config, has_tokenizer, is_byte, largest.type, size)


def model_folder(path: Path) -> Path:
    """The model's folder that a path means; of a run, one with its shape. Raises TricksterError."""
    if not os.path.lexists(path):
        raise TricksterError(
            "init-from-missing",
            f"There is no folder {path}.",
            "init_from is the folder of a Hugging Face Llama (config.json and model.safetensors) or of a run, "
            "relative to the config's folder.",
        )
    if path.suffix.lower() in _PICKLES and not path.is_dir():
        raise TricksterError("init-from-pickle", f"{path} is not a folder with safetensors files.", _CONVERT)
    is_run = kind_of_output(path) == RUN
    candidates = [path, *_of_run(path)] if is_run else [path]
    for folder in candidates:
        if _is_file(folder / f"{WEIGHTS_STEM}.safetensors") or _is_file(folder / index_name(WEIGHTS_STEM)):
            return folder
    if is_run:
        raise TricksterError(
            "init-from-missing",
            f"The run {path} has no checkpoint here yet.",
            "Wait for its first checkpoint, or name the folder of a checkpoint: config.json and model.safetensors.",
        )
    names = sorted(_names(path))
    if pickle := next((name for name in names if Path(name).suffix in _PICKLES and "train" not in name), None):
        raise TricksterError("init-from-pickle", f"{path} has {pickle}, and no model.safetensors.", _CONVERT)
    raise TricksterError(
        "init-from-missing",
        f"{path} is not the folder of a model: it has no model.safetensors.",
        "Name a folder with config.json and model.safetensors, or a run.",
    )


def models_near(folder: Path, most: int = 50) -> tuple[str, ...]:
    """Folders at most two levels below a config's that hold a model or a run, as the config would write them."""
    found: list[str] = []
    level, left = [folder], _LOOKED_AT
    for _ in range(2):
        below = []
        for place in level:
            names = sorted(_names(place))[:left]
            left -= len(names)
            for name in names:
                child = place / name
                if name.startswith(".") or not os.path.isdir(child):  # noqa: PTH112 - Path.is_dir may raise
                    continue
                if kind_of_output(child) in (RUN, "a model"):
                    found.append(child.relative_to(folder).as_posix())
                else:
                    below.append(child)
        level = below
    return tuple(found[:most])


def says_tokenizer_file(name: str) -> bool:
    """Whether a `data_config.tokenizer` is the path of a tokenizer.json, or of a folder that has one."""
    if name.lower().endswith(TENSOR_SUFFIXES):
        return False
    return name.endswith(TOKENIZER_JSON) or "/" in name or os.sep in name


def tokenizer_file(path: Path) -> Path:
    """The tokenizer.json that a path means: the file itself, or that of a folder or of a run's model."""
    if path.name == TOKENIZER_JSON:
        return path
    if kind_of_output(path) == RUN:
        path = next((folder for folder in _of_run(path) if _is_file(folder / TOKENIZER_JSON)), path)
    return path / TOKENIZER_JSON


def _of_run(run: Path) -> Iterator[Path]:
    """The folders in a run that may hold its model, the likeliest first."""
    yield run / "final"
    yield from sorted(run.glob("checkpoints/step-*"), key=lambda path: (len(path.name), path.name), reverse=True)
    for name in ("best.json", "latest.json"):
        try:
            yield run / read_json(run / name)["path"]
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _is_byte(path: Path) -> bool:
    """Whether a tokenizer.json is that of bytes as Trickster writes it."""
    try:
        document = read_json(path, 1 << 20, follow_links=True)
        model, words = document["model"], document["pre_tokenizer"] or {}
        plain = not (document.get("normalizer") or document.get("added_tokens") or words.get("use_regex", True))
        return plain and model["type"] == "BPE" and not model["merges"] and len(model["vocab"]) == 256
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file may raise


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _unusable(place: Path, why: str) -> TricksterError:
    return TricksterError(
        "init-from-unusable",
        f"Training cannot start from {place}: {why}.",
        "Trickster trains plain Llamas: no biases, no RoPE scaling, head_dim hidden_size / num_attention_heads, SiLU, "
        "no sliding window. Use another model, or leave init_from out to start from random weights.",
    )
