"""A plan as the one text that stands for it, and what of it may change in the middle of a run.

The text is JSON with every key, sorted, and numbers as their types write them: two plans are the same exactly when
their texts are. It is a config as well, so that it is read back by the rules that every config is held to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trickster_engine.config.check import check
from trickster_engine.config.keys import KEYS, SECTIONS
from trickster_engine.config.plan import Plan

Value = object
Values = Mapping[str, Value]

#: What a run's weights, its text and what its optimizer remembers belong to.
_FIXED_SECTIONS = ("model_config", "data_config")
_FIXED_KEYS = ("training_config.optimizer", "training_config.seed")
#: Where the text lies may change: whether it is the same text is seen by its fingerprint, wherever it lies.
_PLACES = ("data_config.corpus", "data_config.train_data", "data_config.val_data")
#: Half as many sequences a batch, twice as many batches a step: the same update for half the memory.
_BATCH, _ACCUMULATION = "training_config.batch_size", "training_config.gradient_accumulation_steps"


@dataclass(frozen=True)
class Change:
    """A key with another value than before."""

    key: str
    before: Value
    now: Value

    def __str__(self) -> str:
        """`model_config.num_heads is 4, and was 2`."""
        return f"{self.key} is {json.dumps(self.now)}, and was {json.dumps(self.before)}"


def values_of(plan: Plan) -> dict[str, Value]:
    """Every key's value by its dotted name."""
    values: dict[str, Value] = {}
    for section in SECTIONS.values():
        for name, key in section.keys.items():
            value: Value = getattr(getattr(plan, section.attribute), name)
            if isinstance(value, tuple):
                value = list(value)
            elif key.type == "number" and isinstance(value, int):
                value = float(value)
            values[key.path] = value
    return values


def canonical(plan: Plan) -> str:
    """The text that stands for a plan."""
    return _text(values_of(plan))


def _text(values: Values) -> str:
    sections: dict[str, dict[str, Value]] = {}
    for path, value in values.items():
        section, _, name = path.partition(".")
        sections.setdefault(section, {})[name] = value
    return json.dumps(sections, sort_keys=True, indent=1) + "\n"


def parse_values(text: str) -> dict[str, Value]:
    """The values in a canonical text, keys of newer versions left out. Raises ValueError."""
    sections = json.loads(text)
    values: dict[str, Value] = {}
    try:
        for section, keys in sections.items():
            values.update({f"{section}.{name}": value for name, value in keys.items() if f"{section}.{name}" in KEYS})
    except AttributeError as error:
        raise ValueError("it is no plan") from error
    return values


def plan_from(values: Values) -> Plan | None:
    """The plan with these values, and defaults for the rest. None where they break a rule of configs."""
    return check(_text(values)).plan


def fixed_changes(before: Values, now: Values) -> list[Change]:
    """What differs and must not in the middle of a run. Keys that one side does not know are passed over."""
    known = [path for path in before if path in now]
    changes = [Change(path, before[path], now[path]) for path in known if before[path] != now[path] and _is_fixed(path)]
    if _sequences(before) != _sequences(now):
        changes += [Change(path, before[path], now[path]) for path in (_BATCH, _ACCUMULATION) if path in known
                    and before[path] != now[path]]  # fmt: skip
    return changes


def _is_fixed(path: str) -> bool:
    return (path.partition(".")[0] in _FIXED_SECTIONS and path not in _PLACES) or path in _FIXED_KEYS


def _sequences(values: Values) -> int | None:
    """How many sequences an update sees."""
    batch, accumulation = values.get(_BATCH), values.get(_ACCUMULATION)
    return batch * accumulation if isinstance(batch, int) and isinstance(accumulation, int) else None
