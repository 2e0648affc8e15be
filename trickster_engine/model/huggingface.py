"""The model directory: a Hugging Face Llama, which `transformers` opens as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.config.llama_file import (
    CONFIG_FILE,
    EMBEDDING,
    FLOATS,
    OUTPUT,
    WEIGHTS_STEM,
    misfit,
    model_config_in,
    not_of_the_model,
)
from trickster_engine.config.plan import ModelConfig, SamplingConfig
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import no_checkpoint
from trickster_engine.model.stored_arrays import UNREADABLE, StoredArrays, save_arrays
from trickster_engine.system.files import NotAPlainFileError, TooLargeError

#: Below this temperature the likeliest token is always taken: divided by less, logits leave the range of fp32.
GREEDY_BELOW = 1e-3
GENERATION_FILE = "generation_config.json"

Weights = dict[str, NDArray[np.float32]]


def write_model(
    folder: Path,
    config: ModelConfig,
    weights: Mapping[str, NDArray[np.float32]],
    sampling: SamplingConfig | None = None,
    special_ids: Mapping[str, int] | None = None,
) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` (several above a size) into a folder.

    `sampling` is how text is generated with it unless one says otherwise; `special_ids` are those of its tokenizer.
    """
    ids = special_ids or {}
    described = {**_llama_config(config), **ids, "dtype": "float32", "torch_dtype": "float32"}
    (folder / CONFIG_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    generation = {**_generation_config(sampling or SamplingConfig()), **ids}
    (folder / GENERATION_FILE).write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")
    save_arrays(folder, WEIGHTS_STEM, weights, metadata={"format": "pt"})


def _generation_config(sampling: SamplingConfig) -> dict[str, Any]:
    """What transformers and vLLM sample with. top_k is said even where it is off: transformers' own default is 50."""
    if sampling.temperature < GREEDY_BELOW:
        return {"do_sample": False, "repetition_penalty": sampling.repetition_penalty}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
    }


def read_model(folder: Path) -> tuple[ModelConfig, Weights]:
    """Read a model directory. Raises TricksterError where it is incomplete, damaged or not a Llama of this kind."""
    config, weights = open_model(folder)
    return config, {name: array.astype(np.float32, copy=False) for name, array in weights.items()}


def open_model(folder: Path, *, follow_links: bool = False) -> tuple[ModelConfig, StoredArrays]:
    """Like `read_model`, with weights that are read when they are asked for, in the format they are stored in.

    `follow_links` is for a folder that a person has named: one in the hub's cache is made of links.
    """
    config = read_model_config(folder, follow_links=follow_links)
    try:
        weights = StoredArrays(folder, WEIGHTS_STEM, follow_links=follow_links)
    except (OSError, *UNREADABLE) as error:
        raise _damaged(folder / f"{WEIGHTS_STEM}.safetensors", error) from error
    _require_weights(weights, config, folder)
    return config, weights


def _require_weights(weights: StoredArrays, config: ModelConfig, source: Path) -> None:
    """Raise TricksterError unless the weights have exactly the names, shapes and kinds of numbers of the config."""
    spare = not_of_the_model(weights.shapes, config)
    if OUTPUT in spare and not np.array_equal(weights[OUTPUT], weights[EMBEDDING]):
        raise _another_model(source, f"tie_word_embeddings is true, but {OUTPUT} is not {EMBEDDING}")
    weights.leave_out(spare)
    if reason := misfit(weights.shapes, config):
        raise _another_model(source, reason)
    for name, place in weights.places.items():
        if place.type not in FLOATS:
            raise _another_model(source, f"{name} contains {place.type}, not one of {', '.join(FLOATS)}")


def _another_model(source: Path, reason: str) -> TricksterError:
    return TricksterError(
        "checkpoint-shape",
        f"{source} contains another model: {reason}.",
        "Use the config.yaml of the run that wrote the checkpoint, or start a new run.",
    )


def read_model_config(folder: Path, *, follow_links: bool = False) -> ModelConfig:
    """Read `config.json`. Raises TricksterError."""
    try:
        return model_config_in(folder, follow_links=follow_links)
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
