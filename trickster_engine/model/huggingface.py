"""The model directory: a Hugging Face Llama, which `transformers` opens as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import weight_shapes
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import no_checkpoint
from trickster_engine.model.config_file import CONFIG_FILE, model_config_in
from trickster_engine.model.stored_arrays import UNREADABLE, StoredArrays, save_arrays
from trickster_engine.system.files import NotAPlainFileError, TooLargeError

WEIGHTS_STEM = "model"  # model.safetensors, or several files and an index
GENERATION_FILE = "generation_config.json"

Weights = dict[str, NDArray[np.float32]]


def write_model(folder: Path, config: ModelConfig, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` (several above a size) into a folder."""
    (folder / CONFIG_FILE).write_text(json.dumps(_llama_config(config), indent=2) + "\n", encoding="utf-8")
    (folder / GENERATION_FILE).write_text(json.dumps({"do_sample": True}, indent=2) + "\n", encoding="utf-8")
    save_arrays(folder, WEIGHTS_STEM, weights, metadata={"format": "pt"})


def read_model(folder: Path) -> tuple[ModelConfig, Weights]:
    """Read a model directory. Raises TricksterError where it is incomplete, damaged or not a Llama of this kind."""
    config, weights = open_model(folder)
    return config, {name: array.astype(np.float32, copy=False) for name, array in weights.items()}


def open_model(folder: Path) -> tuple[ModelConfig, StoredArrays]:
    """Like `read_model`, with weights that are read when they are asked for, in the format they are stored in."""
    config = read_model_config(folder)
    try:
        weights = StoredArrays(folder, WEIGHTS_STEM)
    except (OSError, *UNREADABLE) as error:
        raise _damaged(folder / f"{WEIGHTS_STEM}.safetensors", error) from error
    _check_shapes(weights.shapes, config, folder)
    return config, weights


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: ModelConfig, source: Path) -> None:
    """Raise TricksterError unless the weights have exactly the names and shapes the config calls for."""
    expected = weight_shapes(config)
    for name, shape in expected.items():
        found = shapes.get(name)
        if found != shape:
            has = "is missing" if found is None else f"is {list(found)}"
            raise TricksterError(
                "checkpoint-shape",
                f"{source} contains another model: {name} {has}, and this config needs {list(shape)}.",
                "Use the config.yaml of the run that wrote the checkpoint, or start a new run.",
            )
    extra = sorted(set(shapes) - set(expected))
    if extra:
        raise TricksterError(
            "checkpoint-shape",
            f"{source} contains another model: it has {extra[0]}, and this config does not.",
            "Use the config.yaml of the run that wrote the checkpoint, or start a new run.",
        )


def read_model_config(folder: Path) -> ModelConfig:
    """Read `config.json`. Raises TricksterError."""
    try:
        return model_config_in(folder)
    except (OSError, ValueError) as error:
        raise _damaged(folder / CONFIG_FILE, error) from error


def _llama_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_dim,
        "intermediate_size": config.mlp_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_seq_len,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "tie_word_embeddings": config.tie_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "dtype": "float32",
        "torch_dtype": "float32",
    }


def _damaged(path: Path, error: Exception) -> TricksterError:
    if isinstance(error, FileNotFoundError):
        return TricksterError(
            "checkpoint-missing",
            f"{error.filename or path} does not exist.",
            "Give a run directory, or a checkpoint folder with config.json and model.safetensors.",
        )
    if isinstance(error, NotAPlainFileError):
        return TricksterError(
            "checkpoint-damaged",
            f"{error.filename} is a {error.kind}, not a file.",
            "A model's folder must contain the files themselves, not links. Copy them into it (`cp -rL` copies a "
            "folder that way).",
        )
    if isinstance(error, OSError) and not isinstance(error, TooLargeError):
        return no_checkpoint(path.parent, error)
    return TricksterError(
        "checkpoint-damaged",
        f"{path} cannot be read: {error}.",
        "Use an earlier checkpoint of the run; every folder in checkpoints/ is complete in itself.",
    )
