"""`config.json` of a model's folder, held to our own rules before anything is made of it.

A number out of range would allocate without end, one of another type would fail far from here, and a kind of model that
we do not build would be another model under the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from trickster_engine.config.keys import KEYS
from trickster_engine.config.plan import ModelConfig
from trickster_engine.system.files import read_text

CONFIG_FILE = "config.json"
_LARGEST = 4 << 20  # those with a label for each of many classes have a megabyte
_MOST_POSITIONS = 1 << 28  # numbers in each of two tables of float32: 2 GiB
_SAME_AS_LLAMA: Mapping[str, tuple[object, ...]] = {
    "model_type": (None, "llama"),
    "hidden_act": (None, "silu", "swish"),
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "quantization_config": (None,),
    "sliding_window": (None,),
}


def model_config_in(folder: Path) -> ModelConfig:
    """The shape of the model in a folder. Raises OSError, ValueError where it says no shape that can be built."""
    try:
        values = json.loads(read_text(folder / CONFIG_FILE, _LARGEST), parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    for name, accepted in _SAME_AS_LLAMA.items():
        if values.get(name) not in accepted:
            raise ValueError(f"{name} is {values[name]!r:.60}, and Trickster only supports {accepted[-1]!r}")
    heads = _whole(values, "num_attention_heads", "num_heads")
    config = ModelConfig(
        vocab_size=_whole(values, "vocab_size", "vocab_size"),
        hidden_dim=_whole(values, "hidden_size", "hidden_dim"),
        num_layers=_whole(values, "num_hidden_layers", "num_layers"),
        num_heads=heads,
        num_kv_heads=_whole({"num_key_value_heads": heads, **values}, "num_key_value_heads", "num_kv_heads"),
        mlp_dim=_whole(values, "intermediate_size", "mlp_dim"),
        max_seq_len=_whole(values, "max_position_embeddings", "max_seq_len"),
        dropout=0.0,
        rope_theta=_number(_rope(values), "rope_theta", "rope_theta"),
        norm_eps=_number(values, "rms_norm_eps", "norm_eps"),
        tie_embeddings=_truth(values, "tie_word_embeddings"),
    )
    _require_heads(config, values)
    _require_positions(config)
    return config


def _require_heads(config: ModelConfig, values: Mapping[str, Any]) -> None:
    if config.hidden_dim % config.num_heads or config.head_dim % 2:
        raise ValueError(
            f"hidden_size {config.hidden_dim} cannot be divided into {config.num_heads} heads of equal, even width"
        )
    if config.num_heads % config.num_kv_heads:
        raise ValueError(f"{config.num_heads} heads cannot be divided among {config.num_kv_heads} key-value heads")
    width = values.get("head_dim")
    if width is not None and (isinstance(width, bool) or width != config.head_dim):
        raise ValueError(
            f"head_dim is {width!r:.60}, and Trickster only supports hidden_size / heads, {config.head_dim}"
        )


def _require_positions(config: ModelConfig) -> None:
    """Positions are tables that no weights stand for: a single number could ask for any amount of memory."""
    if config.max_seq_len * config.head_dim > _MOST_POSITIONS:
        raise ValueError(
            f"max_position_embeddings is {config.max_seq_len:,}: too many for head_dim {config.head_dim:,}"
        )


def _rope(values: Mapping[str, Any]) -> dict[str, Any]:
    """Where rope_theta stands: newer versions of transformers keep it in `rope_parameters`."""
    found: dict[str, Any] = {"rope_theta": 10000.0}
    for name in ("rope_scaling", "rope_parameters"):
        stretched = values.get(name) or {}
        if not isinstance(stretched, dict):
            raise ValueError(f"{name} is not a JSON object")
        kind = stretched.get("rope_type", stretched.get("type", "default"))
        if kind != "default":
            raise ValueError(f"the position embedding {kind!r:.60} is not supported, only 'default'")
        found.update({key: value for key, value in stretched.items() if key == "rope_theta"})
    if "rope_theta" in values:
        found["rope_theta"] = values["rope_theta"]
    return found


def _whole(values: Mapping[str, Any], name: str, key: str) -> int:
    value = values.get(name)
    if type(value) is not int:
        raise ValueError(f"{name} is {value!r:.60}, not a whole number" if name in values else f"it has no {name}")
    return int(_within(value, name, key))


def _number(values: Mapping[str, Any], name: str, key: str) -> float:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} is {value!r:.60}, not a number" if name in values else f"it has no {name}")
    return float(_within(value, name, key))


def _within(value: float, name: str, key: str) -> float:
    """The value, where it keeps within the range that configs are held to."""
    limits = KEYS[f"model_config.{key}"]
    low, high = limits.minimum, limits.maximum
    above = limits.above is None or value > limits.above
    if not (above and (low is None or value >= low) and (high is None or value <= high)):  # not so for NaN either
        raise ValueError(f"{name} is {value!r:.60}; it may be {'above 0' if low is None else low} to {high:,}")
    return value


def _truth(values: Mapping[str, Any], name: str) -> bool:
    value = values.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.60}, neither true nor false")
    return value


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"it has {word} where a number is expected")
