"""A plan as the one text that stands for it.

The text is JSON with every key, sorted, and numbers as their types write them: two plans are the same exactly when
their texts are. It is a config as well, so that it is read back by the rules that every config is held to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from trickster_engine.config.check import check
from trickster_engine.config.keys import KEYS, SECTIONS
from trickster_engine.config.plan import Plan

Value = object
Values = Mapping[str, Value]


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
