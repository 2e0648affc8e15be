"""How a key of the config is declared: `key(default, doc=…, …)` beside the field that it describes.

What stands there is the single source for checking, hovers, completion, the JSON Schema and the reference page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Unpack

KeyType = Literal["integer", "number", "boolean", "text", "path", "paths", "mesh", "patterns", "sources"]

T = TypeVar("T")
METADATA_NAME: Final = "trickster_key"


@dataclass(frozen=True)
class Condition:
    """When another key makes this one count: `key` has one of `values` (or, negated, none of them)."""

    key: str  # dotted, as in "training_config.loss"
    values: tuple[object, ...]
    negated: bool = False

    def holds(self, value: object) -> bool:
        """Return whether `value`, the other key's value, makes the key count."""
        return (value in self.values) != self.negated


@dataclass(frozen=True)
class Alias:
    """A second name of a key, accepted so that older files work. `values` translates what is written under it."""

    name: str
    note: str = ""
    values: Mapping[object, object] | None = None


class KeyOptions(TypedDict, total=False):
    """What may be declared about a key."""

    doc: str
    effect: str
    unit: str
    minimum: float  # allowed itself
    maximum: float  # allowed itself
    above: float  # not allowed itself
    below: float  # not allowed itself
    choices: Mapping[str, str]  # the only values, each with its documentation
    suggestions: Mapping[str, str]  # values with a meaning of their own, among others
    examples: tuple[object, ...]
    aliases: tuple[Alias, ...]
    other_names: tuple[str, ...]  # what other training tools call it; unknown here, and a certain suggestion
    counts_when: Condition  # left out: always
    default_note: str  # what leaving the key out means, where that depends on another key
    limit_reason: str  # why the lower limit is what it is, where that is not plain
    type: KeyType  # where the field's own type does not say


def key(default: T, **options: Unpack[KeyOptions]) -> T:
    """Declare a config key as a dataclass field; `keys.Key` says what the options mean."""
    return field(default=default, metadata={METADATA_NAME: options})
