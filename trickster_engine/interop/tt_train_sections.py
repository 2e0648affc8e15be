"""What the sections of tt-train's configs become in ours, key by key. `tt_train_config.py` reads and writes files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trickster_engine.errors import TricksterError
from trickster_engine.interop.tt_train_conversion import OURS, Account, Conversion, convert, refused
from trickster_engine.interop.tt_train_optimizer import convert_optimizer, convert_schedule

TILE = 32
#: ttml's character tokenizer makes 68 tokens of Tiny Shakespeare, which fill three tiles.
CHARACTER_VOCABULARY = 96


def convert_model(conversion: Conversion, model: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    """`transformer_config`. Raises TricksterError for a model that is not a Llama."""
    kind = model.get("model_type") or training.get("model_type") or ("llama" if "num_groups" in model else "gpt2")
    if kind != "llama":
        raise TricksterError(
            "not-a-llama",
            f"This is the config of a {kind} model. Trickster trains Llamas.",
            "Convert a config whose transformer_config has model_type: llama, for instance nanollama3_char.yaml.",
        )
    given = dict(model)
    heads = _integer(given, "num_heads", 6)
    hidden = _integer(given, "embedding_dim", 384)
    simple: dict[str, tuple[str, Callable[[Any], object]]] = {
        "num_heads": ("num_heads", int),
        "num_groups": ("num_kv_heads", int),
        "embedding_dim": ("hidden_dim", int),
        "num_blocks": ("num_layers", int),
        "max_sequence_length": ("max_seq_len", int),
        "dropout_prob": ("dropout", float),
        "theta": ("rope_theta", float),
    }
    # What a file may leave out, with the values that tt-train's scripts then take.
    for key, value in {
        "num_heads": heads, "embedding_dim": hidden, "num_blocks": 6, "num_groups": 3, "max_sequence_length": 256,
        "dropout_prob": 0.2, "theta": 500000.0,
    }.items():  # fmt: skip
        if given.get(key) is None:
            given.pop(key, None)
            conversion.values[f"model_config.{simple[key][0]}"] = value
    conversion.values["model_config.mlp_dim"] = default_intermediate_dim(hidden)
    # Files that name their model type are read by scripts that do not tie; those that do not, by a factory that does.
    conversion.values["model_config.tie_embeddings"] = "model_type" not in model
    conversion.values["model_config.norm_eps"] = 1e-5
    for key, value in given.items():
        name = f"transformer_config.{key}"
        if key in simple:
            target, type_ = simple[key]
            conversion.keep(name, value, f"model_config.{target}", convert(name, value, type_))
        elif key == "vocab_size":
            whole = -(-int(value) // TILE) * TILE
            note = "rounded up to full tiles, as ttml does" if whole != value else ""
            conversion.keep(name, value, "model_config.vocab_size", whole, note)
        elif key == "intermediate_dim":
            if value is not None:
                conversion.keep(name, value, "model_config.mlp_dim", int(value))
            else:
                conversion.drop(name, value, f"mlp_dim is {default_intermediate_dim(hidden)}, ttml's default")
        elif key == "weight_tying":
            tied = value is True or str(value).lower() == "enabled"
            conversion.keep(name, value, "model_config.tie_embeddings", tied)
        else:
            _other_model_key(conversion, name, key, value)


def _other_model_key(conversion: Conversion, name: str, key: str, value: Any) -> None:
    if key == "rope_scaling":
        scaling = value if isinstance(value, dict) else {}
        if scaling.get("scaling_factor") and scaling.get("original_context_length"):
            raise refused(name, value, "Trickster's rotary positions are not rescaled", "Remove rope_scaling")
        conversion.drop(name, value, "these values do not scale anything")
        return
    notes = {
        "model_type": "every Trickster model is a Llama",
        "runner_type": "it changes only the memory of training, not the result",
        "model_path": "Trickster takes weights from a run: trickster resume",
        "embedding_placement": "only tensor-parallel training uses it",
        "positional_embedding_type": "a Llama has rotary positions",
        "bias": "a Llama has no biases",
        "experimental": "of GPT-2 models",
    }
    conversion.drop(name, value, notes.get(key, "Trickster does not know this key"))


def convert_training(conversion: Conversion, training: Mapping[str, Any]) -> None:
    """`training_config`, with the optimizer and the schedule."""
    steps = _integer(training, "max_steps", 5000)
    values = conversion.values
    values.update({
        "training_config.batch_size": _integer(training, "batch_size", 64),
        "training_config.gradient_accumulation_steps": 1,
        "training_config.max_steps": steps,
        "training_config.seed": 5489,
        "training_config.grad_clip": 0.0,
        "training_config.save_interval": min(500, steps),
        "training_config.eval_interval": min(200, steps),
        "data_config.corpus": "shakespeare",
        "data_config.tokenizer": "char",
    })  # fmt: skip
    optimizer = training.get("optimizer")
    rate = convert_optimizer(conversion, training, optimizer if isinstance(optimizer, dict) else {})
    convert_schedule(conversion, training, rate, steps)
    counted = {
        "batch_size": "batch_size", "max_steps": "max_steps", "seed": "seed",
        "gradient_accumulation_steps": "gradient_accumulation_steps", "eval_every": "eval_interval",
    }  # fmt: skip
    for key, value in training.items():
        name = f"training_config.{key}"
        if key in counted:
            conversion.keep(name, value, f"training_config.{counted[key]}", convert(name, value, int))
        elif key == "model_save_interval":
            note = "0 switched checkpoints off; Trickster always keeps the last" if not value else ""
            conversion.keep(name, value, "training_config.save_interval", int(value) or steps, note)
        elif key == "clip_grad_norm_max_norm":
            on = bool(training.get("use_clip_grad_norm", False))
            conversion.keep(
                name, value, "training_config.grad_clip", convert(name, value, float) if on else 0.0,
                "" if on else "use_clip_grad_norm is off",
            )  # fmt: skip
        elif key == "use_clip_grad_norm":
            if value:
                values["training_config.grad_clip"] = float(training.get("clip_grad_norm_max_norm", 1.0))
            conversion.accounts.append(Account(name, value, "changed", "training_config.grad_clip", ""))
        elif key == "data_path":
            _corpus(conversion, name, str(value))
        elif key == "tokenizer_type":
            kinds = {"char": "char", "bpe": "bpe"}
            if value not in kinds:
                raise refused(name, value, "Trickster has byte, char and bpe tokenizers", "Choose one of those")
            conversion.keep(name, value, "data_config.tokenizer", kinds[value])
        elif key == "checkpoint_dir":
            conversion.keep(name, value, "output_config.checkpoint_dir", str(value))
        elif key not in _TRAINING_READ_ELSEWHERE:
            conversion.drop(name, value, _TRAINING_NOTES.get(key, "Trickster does not know this key"))
    if "model_config.vocab_size" not in values:
        values["model_config.vocab_size"] = CHARACTER_VOCABULARY


_TRAINING_READ_ELSEWHERE = frozenset(
    ("optimizer", "scheduler_type", "learning_rate", "weight_decay", "beta1", "beta2", "eps", "transformer_config")
)
_TRAINING_NOTES = {
    "project_name": "runs are named after the config",
    "model_config": "the model's file, converted along with this one",
    "model_type": "every Trickster model is a Llama",
    "num_epochs": "Trickster counts steps: max_steps",
    "tokenizer_path": "Trickster trains its own BPE on the corpus",
    "validation_batch_size": "evaluation uses batch_size; the result does not depend on it",
    "use_moreh_adamw": "another kernel for the same AdamW",
    "use_kahan_summation": f"it keeps small updates from being lost in bfloat16. {OURS}",
    "use_no_op": "off",
    "track_memory": "Trickster estimates memory before a run",
}


def convert_device(conversion: Conversion, device: Mapping[str, Any]) -> None:
    """`device_config`."""
    conversion.values["device_config.device_type"] = "auto"
    for key, value in device.items():
        name = f"device_config.{key}"
        if key == "mesh_shape":
            conversion.keep(name, value, "device_config.mesh_shape", tuple(int(size) for size in value))
        elif key == "enable_ddp":
            conversion.keep(name, value, "device_config.enable_ddp", bool(value))
        elif key in ("enable_tp", "enable_fsdp"):
            if value:
                raise refused(name, value, "Trickster trains data-parallel only", f"Set {key}: false")
            conversion.drop(name, value, "off")
        elif key == "device_ids":
            note = f"set TT_VISIBLE_DEVICES={','.join(map(str, value))} instead" if value else "all devices"
            conversion.drop(name, value, note)
        else:
            conversion.drop(name, value, "Trickster does not know this key")


def convert_sampling(conversion: Conversion, sampling: Mapping[str, Any]) -> None:
    """`eval_config`."""
    known: dict[str, Callable[[Any], object]] = {
        "temperature": float, "top_k": int, "top_p": float, "repetition_penalty": float
    }  # fmt: skip
    for key, value in sampling.items():
        name = f"eval_config.{key}"
        if key in known:
            conversion.keep(name, value, f"sampling_config.{key}", convert(name, value, known[key]))
        else:
            conversion.drop(name, value, "Trickster does not know this key")


def convert_other_section(conversion: Conversion, name: str, value: Any) -> None:
    """Any other section: nothing of it is taken over."""
    if name == "multihost_config" and isinstance(value, dict) and value.get("enabled"):
        raise refused("multihost_config.enabled", True, "Trickster trains on one machine", "Set it to false")
    keys = value.items() if isinstance(value, dict) else [(None, value)]
    note = "one machine" if name == "multihost_config" else "Trickster does not know this section"
    for key, inner in keys:
        conversion.drop(name if key is None else f"{name}.{key}", inner, note)


def default_intermediate_dim(hidden_dim: int) -> int:
    """The feed-forward width that ttml takes where a config names none: 8/3 of the width, up to a multiple of 256."""
    return -(-(8 * hidden_dim // 3) // 256) * 256


def _corpus(conversion: Conversion, name: str, value: str) -> None:
    path = os.path.expandvars(value)
    if path.endswith((".yaml", ".yml")):
        raise refused(name, value, "tokens that tt-train prepared", "Use the text itself")
    if Path(path).name == "shakespeare.txt":
        conversion.keep(name, value, "data_config.corpus", "shakespeare", "downloaded and checked by Trickster")
    else:
        conversion.keep(name, value, "data_config.corpus", path)


def _integer(values: Mapping[str, Any], key: str, default: int) -> int:
    value = values.get(key)
    return default if value is None else int(convert(key, value, int))  # type: ignore[call-overload]
