"""The key table: every section and key that a config may have, built from the declarations in `plan.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast

from trickster_engine.config.plan import (
    DataConfig,
    DeviceConfig,
    ModelConfig,
    OutputConfig,
    SamplingConfig,
    TrainingConfig,
)
from trickster_engine.config.spec import METADATA_NAME, Alias, Condition, KeyType, Metadata

_TYPES: Final[Mapping[str, KeyType]] = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "text",
    "str | None": "text",
}


@dataclass(frozen=True)
class Key:
    """One key of the config."""

    section: str
    name: str
    type: KeyType
    default: object
    doc: str
    effect: str
    unit: str
    minimum: float | None  # allowed itself
    maximum: float | None  # allowed itself
    above: float | None  # not allowed itself
    below: float | None  # not allowed itself
    choices: Mapping[str, str]  # the only values, each with its documentation; empty: any
    suggestions: Mapping[str, str]  # values with a meaning of their own, among others
    examples: tuple[object, ...]
    aliases: tuple[Alias, ...]
    counts_when: Condition | None  # None: always
    default_note: str  # what leaving the key out means, where that depends on another key
    limit_reason: str  # why the lower limit is what it is, where that is not plain
    optional: bool  # null is allowed, and means the default

    @property
    def path(self) -> str:
        """The dotted name, `model_config.hidden_dim`."""
        return f"{self.section}.{self.name}"

    @property
    def named_values(self) -> Mapping[str, str]:
        """Values with documentation of their own: all there are (`choices`), or some (`suggestions`)."""
        return self.choices or self.suggestions


@dataclass(frozen=True)
class Section:
    """One section of the config: a top-level name and the keys below it."""

    name: str
    attribute: str  # the field of `Plan`
    plan_type: type
    doc: str
    keys: Mapping[str, Key]


@dataclass(frozen=True)
class RetiredKey:
    """A key of older files that has no meaning here any more: `accepted` values are harmless, others are an error."""

    path: str
    accepted: tuple[str, ...]
    note: str


def _key(section: str, declared: dataclasses.Field[object]) -> Key:
    metadata = cast(Metadata, declared.metadata[METADATA_NAME])
    annotation = str(declared.type)
    return Key(
        section=section,
        name=declared.name,
        type=metadata.type or _TYPES[annotation],
        default=declared.default,
        doc=metadata.doc,
        effect=metadata.effect,
        unit=metadata.unit,
        minimum=metadata.minimum,
        maximum=metadata.maximum,
        above=metadata.above,
        below=metadata.below,
        choices=MappingProxyType(dict(metadata.choices or {})),
        suggestions=MappingProxyType(dict(metadata.suggestions or {})),
        examples=metadata.examples,
        aliases=metadata.aliases,
        counts_when=metadata.counts_when,
        default_note=metadata.default_note,
        limit_reason=metadata.limit_reason,
        optional=annotation.endswith("| None"),
    )


def _section(attribute: str, plan_type: type) -> Section:
    name = f"{attribute}_config"
    keys = {declared.name: _key(name, declared) for declared in dataclasses.fields(plan_type)}
    # "`model_config`: the shape of the transformer. …" -> "The shape of the transformer. …"
    doc = " ".join((plan_type.__doc__ or "").split()).split(": ", 1)[1]
    return Section(name, attribute, plan_type, doc[0].upper() + doc[1:], MappingProxyType(keys))


def _table(sections: Iterable[Section]) -> Mapping[str, Section]:
    return MappingProxyType({section.name: section for section in sections})


SECTIONS: Final = _table(
    (
        _section("model", ModelConfig),
        _section("training", TrainingConfig),
        _section("device", DeviceConfig),
        _section("data", DataConfig),
        _section("output", OutputConfig),
        _section("sampling", SamplingConfig),
    )
)

KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {key.path: key for section in SECTIONS.values() for key in section.keys.values()}
)

RETIRED_KEYS: Final[Mapping[str, RetiredKey]] = MappingProxyType(
    {
        retired.path: retired
        for retired in (
            RetiredKey(
                "training_config.save_strategy",
                ("steps",),
                "Checkpoints are always written every save_interval steps.",
            ),
            RetiredKey(
                "training_config.log_level",
                ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
                "A run always writes its whole log to log.txt, and every metric to events.jsonl.",
            ),
        )
    }
)

# What other training tools call the same thing. A key written this way is still unknown, but the suggestion is certain.
OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "accumulate_grad_batches": "training_config.gradient_accumulation_steps",
        "adam_beta1": "training_config.beta1",
        "adam_beta2": "training_config.beta2",
        "batch": "training_config.batch_size",
        "block_size": "model_config.max_seq_len",
        "clip_grad_norm": "training_config.grad_clip",
        "clip_grad_norm_max_norm": "training_config.grad_clip",
        "context_length": "model_config.max_seq_len",
        "d_ff": "model_config.mlp_dim",
        "d_model": "model_config.hidden_dim",
        "data_path": "data_config.corpus",
        "dataset": "data_config.corpus",
        "ddp": "device_config.enable_ddp",
        "depth": "model_config.num_layers",
        "device": "device_config.device_type",
        "dim": "model_config.hidden_dim",
        "dropout_prob": "model_config.dropout",
        "embedding_dim": "model_config.hidden_dim",
        "eval_every": "training_config.eval_interval",
        "eval_steps": "training_config.eval_interval",
        "ffn_dim": "model_config.mlp_dim",
        "grad_accum": "training_config.gradient_accumulation_steps",
        "gradient_clipping": "training_config.grad_clip",
        "hidden_size": "model_config.hidden_dim",
        "intermediate_dim": "model_config.mlp_dim",
        "intermediate_size": "model_config.mlp_dim",
        "iterations": "training_config.max_steps",
        "learning_rate_schedule": "training_config.lr_schedule",
        "log_every": "training_config.log_interval",
        "logging_steps": "training_config.log_interval",
        "lr": "training_config.learning_rate",
        "lr_decay_iters": "training_config.lr_decay_steps",
        "lr_decay_style": "training_config.lr_schedule",
        "lr_scheduler_type": "training_config.lr_schedule",
        "max_grad_norm": "training_config.grad_clip",
        "max_iters": "training_config.max_steps",
        "max_lr": "training_config.learning_rate",
        "max_position_embeddings": "model_config.max_seq_len",
        "max_sequence_length": "model_config.max_seq_len",
        "min_lr": "training_config.min_learning_rate",
        "model_save_interval": "training_config.save_interval",
        "muon_lr": "training_config.muon_learning_rate",
        "n_embd": "model_config.hidden_dim",
        "n_head": "model_config.num_heads",
        "n_heads": "model_config.num_heads",
        "n_kv_heads": "model_config.num_kv_heads",
        "n_layer": "model_config.num_layers",
        "n_layers": "model_config.num_layers",
        "num_attention_heads": "model_config.num_heads",
        "num_blocks": "model_config.num_layers",
        "num_groups": "model_config.num_kv_heads",
        "num_hidden_layers": "model_config.num_layers",
        "num_key_value_heads": "model_config.num_kv_heads",
        "num_steps": "training_config.max_steps",
        "out_dir": "output_config.output_dir",
        "patience": "training_config.early_stopping_patience",
        "per_device_train_batch_size": "training_config.batch_size",
        "rms_norm_eps": "model_config.norm_eps",
        "save_every": "training_config.save_interval",
        "save_steps": "training_config.save_interval",
        "save_total_limit": "training_config.keep_best_n",
        "scheduler_type": "training_config.lr_schedule",
        "seq_len": "model_config.max_seq_len",
        "sequence_length": "model_config.max_seq_len",
        "steps": "training_config.max_steps",
        "theta": "model_config.rope_theta",
        "tie_word_embeddings": "model_config.tie_embeddings",
        "tokenizer_type": "data_config.tokenizer",
        "total_steps": "training_config.max_steps",
        "vocabulary_size": "model_config.vocab_size",
        "warmup": "training_config.warmup_steps",
        "warmup_iters": "training_config.warmup_steps",
        "weight_tying": "model_config.tie_embeddings",
    }
)

OTHER_SECTION_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "transformer_config": "model_config",
        "model": "model_config",
        "training": "training_config",
        "train": "training_config",
        "train_config": "training_config",
        "optimizer_config": "training_config",
        "device": "device_config",
        "hardware_config": "device_config",
        "data": "data_config",
        "dataset_config": "data_config",
        "output": "output_config",
        "sampling": "sampling_config",
        "eval_config": "sampling_config",
        "generation_config": "sampling_config",
    }
)
