"""The config: one YAML file that says everything about a training run.

check(text)             what the file means, and everything that is wrong with it
KEYS, SECTIONS          the table of all keys, with types, limits and documentation
preset_names(), …       the configs that come with Trickster
set_values(text, …)     change values without disturbing the rest of the file
"""

from trickster_engine.config.check import CheckResult, check, check_document
from trickster_engine.config.keys import KEYS, SECTIONS, Key, Section
from trickster_engine.config.overrides import OverrideError, set_values
from trickster_engine.config.places import Place
from trickster_engine.config.plan import (
    DataConfig,
    DeviceConfig,
    ModelConfig,
    OutputConfig,
    Plan,
    SamplingConfig,
    TrainingConfig,
)
from trickster_engine.config.presets import preset_names, preset_plan, preset_text
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range, Related, Severity
from trickster_engine.config.yaml.document import Document, Located
from trickster_engine.config.yaml.parser import parse
from trickster_engine.config.yaml.text import apply_edits

__all__ = [
    "KEYS",
    "SECTIONS",
    "CheckResult",
    "DataConfig",
    "DeviceConfig",
    "Document",
    "Edit",
    "Fix",
    "Key",
    "Located",
    "ModelConfig",
    "OutputConfig",
    "OverrideError",
    "Place",
    "Plan",
    "Position",
    "Problem",
    "Range",
    "Related",
    "SamplingConfig",
    "Section",
    "Severity",
    "TrainingConfig",
    "apply_edits",
    "check",
    "check_document",
    "parse",
    "preset_names",
    "preset_plan",
    "preset_text",
    "set_values",
]
