"""`config.json` of a model's folder, held to our own rules before anything is made of it.

A number out of range would allocate without end, one of another type would fail far from here, and a kind of model that
we do not build would be another model under the same weights. So every field of transformers' LlamaConfig that changes
what is computed, and every field by which related families differ from it, is read or refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from trickster_engine.config.keys import KEYS
from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.shapes import weight_shapes
from trickster_engine.system.files import read_text

CONFIG_FILE = "config.json"
WEIGHTS_STEM = "model"  # model.safetensors, or several files and an index
EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
#: The kinds of numbers that weights may be stored in; they are read as float32.
FLOATS = ("BF16", "F16", "F32", "F64")
_LARGEST = 4 << 20  # those with a label for each of many classes have a megabyte
_MOST_POSITIONS = 1 << 28  # numbers in each of two tables of float32: 2 GiB
#: Field -> what it may be. The last one is what we compute.
_SAME_AS_LLAMA: Mapping[str, tuple[object, ...]] = {
    "model_type": (None, "llama"),
    "hidden_act": (None, "swish", "silu"),
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "quantization_config": (None,),
    "sliding_window": (None,),
    "partial_rotary_factor": (None, 1.0),
    # Other families write these; a Llama without its model_type would hide them.
    "use_qkv_bias": (None, False),
    "qkv_bias": (None, False),
    "use_qk_norm": (None, False),
    "qk_layernorm": (None, False),
    "logits_scaling": (None, 1.0),
    "embedding_multiplier": (None, 1.0),
    "residual_multiplier": (None, 1.0),
    "attention_multiplier": (None,),
    "final_logit_softcapping": (None,),
    "attn_logit_softcapping": (None,),
    "num_local_experts": (None,),
    "num_experts": (None,),
}
_ARCHITECTURE = "LlamaForCausalLM"
#: What transformers has used where older files leave a field out: LlamaConfig's defaults.
_LEFT_OUT: Mapping[str, object] = {"rms_norm_eps": 1e-6, "max_position_embeddings": 2048}
_ROPE_KEYS = ("rope_type", "type", "rope_theta", "partial_rotary_factor")


def model_config_in(folder: Path, *, follow_links: bool = False) -> ModelConfig:
    """The shape of the model in a folder. Raises OSError, ValueError where it says no shape that can be built."""
    try:
        text = read_text(folder / CONFIG_FILE, _LARGEST, follow_links=follow_links)
        values = json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    for name, accepted in _SAME_AS_LLAMA.items():
        if values.get(name) not in accepted:
            raise ValueError(f"{name} is {values[name]!r:.60}, and Trickster only supports {accepted[-1]!r}")
    architectures = values.get("architectures")
    if architectures not in (None, []) and architectures != [_ARCHITECTURE]:
        raise ValueError(f"architectures is {architectures!r:.60}, and Trickster only supports {[_ARCHITECTURE]!r}")
    values = {**_LEFT_OUT, **values}
    heads = _whole(values, "num_attention_heads", "num_heads")
    config = ModelConfig(
        vocab_size=_whole(values, "vocab_size", "vocab_size"),
        hidden_dim=_whole(values, "hidden_size", "hidden_dim"),
        num_layers=_whole(values, "num_hidden_layers", "num_layers"),
        num_heads=heads,
        num_kv_heads=_whole(_with_kv_heads(values, heads), "num_key_value_heads", "num_kv_heads"),
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


def _with_kv_heads(values: Mapping[str, Any], heads: int) -> Mapping[str, Any]:
    """One key/value head for each head where the file does not say, or says null."""
    return values if values.get("num_key_value_heads") is not None else {**values, "num_key_value_heads": heads}


def not_of_the_model(shapes: Mapping[str, tuple[int, ...]], config: ModelConfig) -> list[str]:
    """Stored arrays that transformers passes over: tables that follow from the config, and a tied output layer."""
    return [
        name
        for name in shapes
        if name.endswith("rotary_emb.inv_freq")
        or (config.tie_embeddings and name == OUTPUT and shapes[name] == shapes.get(EMBEDDING))
    ]


def misfit(shapes: Mapping[str, tuple[int, ...]], config: ModelConfig) -> str | None:
    """Why arrays of these names and shapes are not the weights of this model; None where they are."""
    expected = weight_shapes(config)
    for name, shape in expected.items():
        found = shapes.get(name)
        if found != shape:
            has = "is missing" if found is None else f"is {list(found)}"
            return f"{name} {has}, and this config needs {list(shape)}"
    extra = sorted(set(shapes) - set(expected))
    return f"it has {extra[0]}, and this config does not" if extra else None


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
    found: dict[str, Any] = {}
    for name in ("rope_scaling", "rope_parameters"):
        stretched = values.get(name) or {}
        if not isinstance(stretched, dict):
            raise ValueError(f"{name} is not a JSON object")
        kind = stretched.get("rope_type", stretched.get("type", "default"))
        if kind != "default":
            raise ValueError(f"{name} asks for the position embedding {kind!r:.60}; only 'default' is supported")
        if stretched.get("partial_rotary_factor") not in (None, 1.0):
            part = stretched["partial_rotary_factor"]
            raise ValueError(f"partial_rotary_factor is {part!r:.60} in {name}, and Trickster only supports 1.0")
        if unknown := sorted(set(stretched) - set(_ROPE_KEYS)):
            raise ValueError(f"{name} has {unknown[0]!r:.60}, which Trickster does not support")
        if "rope_theta" in stretched:
            found["rope_theta"] = stretched["rope_theta"]
    if "rope_theta" in values:
        if found and found["rope_theta"] != values["rope_theta"]:
            raise ValueError(
                f"rope_theta is {values['rope_theta']!r:.60}, but {found['rope_theta']!r:.60} in rope_parameters: "
                "versions of transformers disagree on which counts"
            )
        found["rope_theta"] = values["rope_theta"]
    return {"rope_theta": 10000.0, **found}


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
