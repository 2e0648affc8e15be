"""How a key of the config is described: `key(default, doc=…, …)` beside the field that it describes.

What stands here is the single source for checking, hovers, completion, the JSON Schema and the reference page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeVar

KeyType = Literal["integer", "number", "boolean", "text", "path", "mesh"]

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


@dataclass(frozen=True)
class Metadata:
    """Everything about a key that its Python type and default do not say."""

    doc: str
    effect: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: Mapping[str, str] | None = None
    suggestions: Mapping[str, str] | None = None
    examples: tuple[object, ...] = ()
    aliases: tuple[Alias, ...] = ()
    counts_when: Condition | None = None
    default_note: str = ""
    limit_reason: str = ""
    type: KeyType | None = None


def key(
    default: T,
    *,
    doc: str,
    effect: str = "",
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Mapping[str, str] | None = None,
    suggestions: Mapping[str, str] | None = None,
    examples: tuple[object, ...] = (),
    aliases: tuple[Alias, ...] = (),
    counts_when: Condition | None = None,
    default_note: str = "",
    limit_reason: str = "",
    type: KeyType | None = None,
) -> T:
    """Declare a config key as a dataclass field.

    `minimum`/`maximum` are allowed values themselves, `above`/`below` are not. `choices` are the only values that a
    text may have, `suggestions` are values with a meaning of their own among others; both map a value to its
    documentation. `default_note` says in words what a key that is left out means, where that depends on another key;
    `limit_reason` is added to what is said when the lower limit is broken.
    """
    metadata = Metadata(
        doc=doc,
        effect=effect,
        unit=unit,
        minimum=minimum,
        maximum=maximum,
        above=above,
        below=below,
        choices=choices,
        suggestions=suggestions,
        examples=examples,
        aliases=aliases,
        counts_when=counts_when,
        default_note=default_note,
        limit_reason=limit_reason,
        type=type,
    )
    return field(default=default, metadata={METADATA_NAME: metadata})
