"""The key table: every section and key that a config may have, built from the declarations in this package."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from trickster_engine.config.keys.alerts import AlertsConfig
from trickster_engine.config.keys.data import DataConfig
from trickster_engine.config.keys.device import DeviceConfig
from trickster_engine.config.keys.model import ModelConfig
from trickster_engine.config.keys.output import OutputConfig
from trickster_engine.config.keys.sampling import SamplingConfig
from trickster_engine.config.keys.spec import METADATA_NAME, Alias, Condition, KeyType
from trickster_engine.config.keys.training import TrainingConfig

_TYPES: Final[Mapping[str, KeyType]] = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "text",
    "str | None": "text",
}


#: Of what has, or may have, several parts.
LIST_TYPES: Final[frozenset[KeyType]] = frozenset({"mesh", "paths", "patterns", "sources"})
#: Of what names a place on this machine, or several.
PLACE_TYPES: Final[frozenset[KeyType]] = frozenset({"path", "paths", "sources"})


@dataclass(frozen=True)
class Key:
    """One key of the config. What the fields mean is said in `spec.KeyOptions`."""

    section: str
    name: str
    type: KeyType
    default: object
    optional: bool  # null is allowed, and means the default
    doc: str
    effect: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: Mapping[str, str] = field(default_factory=dict)  # empty: any
    suggestions: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[object, ...] = ()
    aliases: tuple[Alias, ...] = ()
    other_names: tuple[str, ...] = ()
    counts_when: Condition | None = None
    default_note: str = ""
    limit_reason: str = ""

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


def _section(attribute: str, plan_type: type) -> Section:
    name = f"{attribute}_config"
    keys = {}
    for declared in dataclasses.fields(plan_type):
        annotation = str(declared.type)
        options = {"type": _TYPES.get(annotation), **declared.metadata[METADATA_NAME]}
        optional = annotation.endswith("| None")
        keys[declared.name] = Key(name, declared.name, default=declared.default, optional=optional, **options)
    # "`model_config`: the shape of the transformer. …" -> "The shape of the transformer. …"
    doc = " ".join((plan_type.__doc__ or "").split()).split(": ", 1)[1]
    return Section(name, attribute, plan_type, doc[0].upper() + doc[1:], MappingProxyType(keys))


_SECTIONS = (
    _section("model", ModelConfig),
    _section("training", TrainingConfig),
    _section("device", DeviceConfig),
    _section("data", DataConfig),
    _section("output", OutputConfig),
    _section("sampling", SamplingConfig),
    _section("alerts", AlertsConfig),
)
SECTIONS: Final[Mapping[str, Section]] = MappingProxyType({section.name: section for section in _SECTIONS})
KEYS: Final[Mapping[str, Key]] = MappingProxyType(
    {key.path: key for section in _SECTIONS for key in section.keys.values()}
)
