"""Every name that a line of a config may begin with: keys and sections, by whatever name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from trickster_engine.config.keys import KEYS, PLACE_TYPES, SECTIONS


@dataclass(frozen=True)
class RetiredKey:
    """A key of older files that has no meaning here any more: `accepted` values are harmless, others are an error."""

    path: str
    accepted: tuple[str, ...]
    note: str


_RETIRED: Final = (
    RetiredKey(
        "training_config.save_strategy", ("steps",), "Checkpoints are always written every save_interval steps."
    ),
    RetiredKey(
        "training_config.log_level",
        ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "A run always writes its whole log to log.txt, and every metric to events.jsonl.",
    ),
)
RETIRED_KEYS: Final[Mapping[str, RetiredKey]] = {retired.path: retired for retired in _RETIRED}

#: What other training tools call a key or a section, and its own name.
OTHER_NAMES: Final[Mapping[str, str]] = {other: key.path for key in KEYS.values() for other in key.other_names}
OTHER_SECTION_NAMES: Final[Mapping[str, str]] = {
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
    "alerts": "alerts_config",
}

SECTION_NAMES: Final = frozenset({*SECTIONS, *OTHER_SECTION_NAMES})
_TYPES: Final = {key.name: key.type for key in KEYS.values()}
KNOWN_NAMES: Final = frozenset(
    {
        *SECTION_NAMES,
        *_TYPES,
        *(alias.name for key in KEYS.values() for alias in key.aliases),
        *(retired.path.split(".")[1] for retired in RETIRED_KEYS.values()),
        *OTHER_NAMES,
    }
)
#: Keys whose value is any text, which may look like anything.
TEXT_NAMES: Final = frozenset(
    name
    for name in (*_TYPES, *OTHER_NAMES)
    if _TYPES.get(OTHER_NAMES.get(name, name).rpartition(".")[2]) in {"text", *PLACE_TYPES}
)
