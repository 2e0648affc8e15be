"""What the sections of tt-train's configs become in ours, key by key. `tt_train_config.py` reads and writes files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trickster_engine.errors import TricksterError

Fate = Literal["kept", "changed", "left out"]

TILE = 32
#: ttml's character tokenizer makes 68 tokens of Tiny Shakespeare, which fill three tiles.
CHARACTER_VOCABULARY = 96

_OURS = "Trickster does this automatically."


@dataclass(frozen=True)
class Account:
    """What became of one key of the file."""

    key: str  # dotted, as in the source
    value: object
    fate: Fate
    target: str | None  # dotted, in our config
    note: str


@dataclass
class Conversion:
    """The values so far, and what became of each key."""

    values: dict[str, object] = field(default_factory=dict)  # dotted target -> value
    accounts: list[Account] = field(default_factory=list)

    def keep(self, key: str, value: object, target: str, new: object, note: str = "") -> None:
        """Take a value over, as it is or changed."""
        self.values[target] = new
        same = new == (tuple(value) if isinstance(value, list) else value)
        fate: Fate = "kept" if same else "changed"
        self.accounts.append(Account(key, value, fate, target, note))

    def drop(self, key: str, value: object, note: str) -> None:
        """Leave a key out."""
        self.accounts.append(Account(key, value, "left out", None, note))


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
            conversion.keep(name, value, f"model_config.{target}", _convert(name, value, type_))
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
            raise _refused(name, value, "Trickster's rotary positions are not rescaled", "Remove rope_scaling")
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
    rate = _optimizer(conversion, training, optimizer if isinstance(optimizer, dict) else {})
    _schedule(conversion, training, rate, steps)
    counted = {
        "batch_size": "batch_size", "max_steps": "max_steps", "seed": "seed",
        "gradient_accumulation_steps": "gradient_accumulation_steps", "eval_every": "eval_interval",
    }  # fmt: skip
    for key, value in training.items():
        name = f"training_config.{key}"
        if key in counted:
            conversion.keep(name, value, f"training_config.{counted[key]}", _convert(name, value, int))
        elif key == "model_save_interval":
            note = "0 switched checkpoints off; Trickster always keeps the last" if not value else ""
            conversion.keep(name, value, "training_config.save_interval", int(value) or steps, note)
        elif key == "clip_grad_norm_max_norm":
            on = bool(training.get("use_clip_grad_norm", False))
            conversion.keep(
                name, value, "training_config.grad_clip", _convert(name, value, float) if on else 0.0,
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
                raise _refused(name, value, "Trickster has byte, char and bpe tokenizers", "Choose one of those")
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
    "use_kahan_summation": f"it keeps small updates from being lost in bfloat16. {_OURS}",
    "use_no_op": "off",
    "track_memory": "Trickster estimates memory before a run",
}


def _optimizer(conversion: Conversion, training: Mapping[str, Any], optimizer: Mapping[str, Any]) -> float:
    """Convert either style of optimizer keys; returns the learning rate."""
    values = conversion.values
    if training.get("use_no_op"):
        raise _refused("training_config.use_no_op", True, "nothing would be learned", "Set it to false")
    prefix = "training_config.optimizer."
    kind = str(optimizer.get("type", "AdamW"))
    adamw: Mapping[str, Any] = optimizer
    if kind in ("Muon", "MuonWithAdamW"):
        values["training_config.optimizer"] = "muon"
        muon = optimizer.get("muon") if isinstance(optimizer.get("muon"), dict) else optimizer
        values["training_config.muon_learning_rate"] = float((muon or {}).get("lr", 0.02))
        values["training_config.muon_momentum"] = float((muon or {}).get("momentum", 0.95))
        nested = optimizer.get("adamw")
        adamw = nested if isinstance(nested, dict) else {}
    elif kind in ("AdamW", "AdamWFullPrecision", "MorehAdamW", "AdamWComposite"):
        values["training_config.optimizer"] = "adamw"
    else:
        raise _refused(f"{prefix}type", kind, "Trickster has AdamW and Muon", "Set type: AdamW")
    flat = {"lr": training.get("learning_rate")} | {
        key: training.get(key) for key in ("beta1", "beta2", "weight_decay")
    }
    defaults = {"lr": 3e-4, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.01}
    targets = {"lr": "learning_rate", "beta1": "beta1", "beta2": "beta2", "weight_decay": "weight_decay"}
    for key, default in defaults.items():
        written = adamw.get(key, flat[key])
        values[f"training_config.{targets[key]}"] = float(default if written is None else written)
    for key, value in training.items():
        if key in ("learning_rate", "weight_decay", "beta1", "beta2"):
            conversion.keep(f"training_config.{key}", value, f"training_config.{key}", float(value))
        elif key == "eps":
            conversion.drop("training_config.eps", value, _epsilon_note(value))
    _account_for_optimizer(conversion, optimizer, prefix, targets)
    if "optimizer" in training and not isinstance(training["optimizer"], dict):
        conversion.drop("training_config.optimizer", training["optimizer"], "not a mapping")
    rate = values["training_config.learning_rate"]
    assert isinstance(rate, float)
    return rate


def _account_for_optimizer(
    conversion: Conversion, optimizer: Mapping[str, Any], prefix: str, targets: Mapping[str, str]
) -> None:
    for key, value in optimizer.items():
        name = f"{prefix}{key}"
        if key == "type":
            conversion.accounts.append(Account(name, value, "changed", "training_config.optimizer", ""))
        elif key in ("muon", "adamw") and isinstance(value, dict):
            _account_for_nested(conversion, f"{name}.", key, value, targets)
        elif key in targets:
            target = f"training_config.{targets[key]}"
            conversion.keep(name, value, target, _convert(name, value, float))
        elif key == "epsilon":
            conversion.drop(name, value, _epsilon_note(value))
        elif key == "amsgrad":
            if value:
                raise _refused(name, value, "Trickster's AdamW has no AMSGrad", "Set amsgrad: false")
            conversion.drop(name, value, "off")
        else:
            notes = {
                "stochastic_rounding": f"on wherever ttml has it. {_OURS}",
                "kahan_summation": f"it keeps small updates from being lost in bfloat16. {_OURS}",
                "weight_decay_skip_1d": f"weight decay excludes the norms wherever ttml can. {_OURS}",
                "adamw_modules": "Muon leaves weights to AdamW by their kind",
                "momentum": "muon_momentum",
                "ns_steps": "always 5",
            }
            conversion.drop(name, value, notes.get(key, "Trickster does not know this key"))


def _account_for_nested(
    conversion: Conversion, prefix: str, part: str, values: Mapping[str, Any], targets: Mapping[str, str]
) -> None:
    muon = {"lr": "muon_learning_rate", "momentum": "muon_momentum"}
    for key, value in values.items():
        target = (muon if part == "muon" else targets).get(key)
        if target:
            conversion.keep(f"{prefix}{key}", value, f"training_config.{target}", float(value))
        elif key == "epsilon":
            conversion.drop(f"{prefix}{key}", value, _epsilon_note(value))
        else:
            conversion.drop(f"{prefix}{key}", value, "Trickster decides this automatically")


def _schedule(conversion: Conversion, training: Mapping[str, Any], rate: float, steps: int) -> None:
    kind = training.get("scheduler_type", "identity")
    values = conversion.values
    if kind == "warmup_linear":
        values["training_config.lr_schedule"] = "linear"
        values["training_config.warmup_steps"] = steps // 10
        values["training_config.min_learning_rate"] = _plain(rate / 100)
        note = "a tenth of the steps rising, then falling to a hundredth"
    elif kind == "identity":
        values["training_config.lr_schedule"] = "linear"
        values["training_config.warmup_steps"] = 0
        values["training_config.min_learning_rate"] = rate
        note = "a constant rate: no warm-up, and min_learning_rate is learning_rate"
    else:
        raise _refused(
            "training_config.scheduler_type", kind, "tt-train knows identity and warmup_linear", "Choose one of those"
        )
    if "scheduler_type" in training:
        conversion.accounts.append(
            Account("training_config.scheduler_type", kind, "changed", "training_config.lr_schedule", note)
        )


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
                raise _refused(name, value, "Trickster trains data-parallel only", f"Set {key}: false")
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
            conversion.keep(name, value, f"sampling_config.{key}", _convert(name, value, known[key]))
        else:
            conversion.drop(name, value, "Trickster does not know this key")


def convert_other_section(conversion: Conversion, name: str, value: Any) -> None:
    """Any other section: nothing of it is taken over."""
    if name == "multihost_config" and isinstance(value, dict) and value.get("enabled"):
        raise _refused("multihost_config.enabled", True, "Trickster trains on one machine", "Set it to false")
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
        raise _refused(name, value, "tokens that tt-train prepared", "Use the text itself")
    if Path(path).name == "shakespeare.txt":
        conversion.keep(name, value, "data_config.corpus", "shakespeare", "downloaded and checked by Trickster")
    else:
        conversion.keep(name, value, "data_config.corpus", path)


def _integer(values: Mapping[str, Any], key: str, default: int) -> int:
    value = values.get(key)
    return default if value is None else int(_convert(key, value, int))  # type: ignore[call-overload]


def _convert(name: str, value: Any, kind: Callable[[Any], object]) -> object:
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise TricksterError(
            "tt-train-value", f"{name} is {value!r}, which is not a number.", "Fix the value, and convert it again."
        ) from error


def _plain(value: float) -> float:
    """Without the last digits of binary division."""
    return float(f"{value:.12g}")


def _epsilon_note(value: object) -> str:
    return "Trickster's AdamW has the same" if float(str(value)) == 1e-8 else "Trickster's AdamW always has 1e-8"


def _refused(key: str, value: object, why: str, advice: str) -> TricksterError:
    return TricksterError(
        "cannot-convert", f"{key}: {value} cannot be converted: {why}.", f"{advice}, and convert again."
    )
