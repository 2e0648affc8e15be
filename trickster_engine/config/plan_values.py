"""A plan as values: the one text that stands for it, and what of them may change in the middle of a run.

The text is JSON with every key, sorted, and numbers as their types write them: two plans are the same exactly when
their texts are. It is a config as well, so that it is read back by the rules that every config is held to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trickster_engine.config.check import check
from trickster_engine.config.keys import KEYS, SECTIONS
from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.plan import Plan

Value = object
Values = Mapping[str, Value]

#: A section or key -> why it stays as it is for as long as a run lasts. One that is not named here may change: its new
#: value counts from the next update on.
FIXED = {
    "model_config": "The weights were trained in a model of this shape.",
    "model_config.init_from": "The run has begun from other weights.",
    "data_config.tokenizer": "The weights were trained with these token ids.",
    "data_config.line_ends": "The text was trained on with these line ends.",
    "data_config.documents": "The text was trained on divided so.",
    "data_config.document_separator": "The text was trained on divided so.",
    "data_config.text_field": "The run was trained on the text of this field.",
    "data_config.drop_duplicates": "The order of the text depends on it.",
    "data_config.drop_near_duplicates": "The order of the text depends on it.",
    "data_config.mask_documents": "The weights were trained with this attention.",
    "data_config.val_fraction": "Training text would become validation text, or the reverse.",
    "training_config.optimizer": "Another optimizer cannot use the saved optimizer state.",
    "training_config.distill_from": "The run learns from its own copy of the teacher that it began with.",
    "training_config.seed": "The initial weights and the order of the text depend on it.",
    "output_config.output_dir": "A run stays in its folder; you may move or rename the folder and resume it there.",
}
#: Where the text lies may change: whether it is the same text is seen by its fingerprint, wherever it lies.
PLACES = (
    "data_config.corpus",
    "data_config.include",
    "data_config.exclude",
    "data_config.train_data",
    "data_config.val_data",
)
_TOKENIZER, _TOKENIZER_NAMES = "data_config.tokenizer", ("byte", "char", "bpe")
#: Half as many sequences a batch, twice as many batches per step: the same update for half the memory.
_BATCH, _ACCUMULATION = "training_config.batch_size", "training_config.gradient_accumulation_steps"
_SEQUENCES = (
    "An update sees batch_size x gradient_accumulation_steps sequences, and the order of the text depends on it."
)


def values_of(plan: Plan) -> dict[str, Value]:
    """Every key's value by its dotted name."""
    values: dict[str, Value] = {}
    for section in SECTIONS.values():
        for name, key in section.keys.items():
            value: Value = getattr(getattr(plan, section.attribute), name)
            if isinstance(value, tuple):
                value = [vars(one) if isinstance(one, CorpusSource) else one for one in value]
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


@dataclass(frozen=True)
class Change:
    """A key with another value than before."""

    key: str
    before: Value
    now: Value
    #: Why that cannot be in the middle of a run; empty where it can.
    why_not: str = ""

    def __str__(self) -> str:
        """`model_config.num_heads is 4, and was 2`."""
        return f"{self.key} is {json.dumps(self.now)}, and was {json.dumps(self.before)}"


def changes(before: Values, now: Values) -> list[Change]:
    """What differs, each with why it must not. Keys that one side does not know are passed over."""
    differing = [path for path in before if path in now and before[path] != now[path]]
    return [Change(path, before[path], now[path], _why_not(path, before, now)) for path in differing]


def fixed_changes(before: Values, now: Values) -> list[Change]:
    """What differs and must not in the middle of a run."""
    return [change for change in changes(before, now) if change.why_not]


def _why_not(path: str, before: Values, now: Values) -> str:
    if path in (_BATCH, _ACCUMULATION):
        return _SEQUENCES if _sequences(before) != _sequences(now) else ""
    if path == _TOKENIZER and not {before[path], now[path]} & set(_TOKENIZER_NAMES):
        return ""  # a file elsewhere: the fingerprint covers the vocabulary
    return FIXED.get(path) or FIXED.get(path.partition(".")[0]) or ""


def _sequences(values: Values) -> int | None:
    """How many sequences an update sees."""
    batch, accumulation = values.get(_BATCH), values.get(_ACCUMULATION)
    return batch * accumulation if isinstance(batch, int) and isinstance(accumulation, int) else None
