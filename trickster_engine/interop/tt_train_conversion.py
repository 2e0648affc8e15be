"""A conversion of tt-train's configs: the values so far, and what became of each key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from trickster_engine.errors import TricksterError

Fate = Literal["kept", "changed", "left out"]

OURS = "Trickster does this automatically."


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


def convert(name: str, value: Any, kind: Callable[[Any], object]) -> object:
    """A value as this kind. Raises TricksterError where it is none."""
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise TricksterError(
            "tt-train-value", f"{name} is {value!r}, which is not a number.", "Fix the value, and convert it again."
        ) from error


def refused(key: str, value: object, why: str, advice: str) -> TricksterError:
    """The error for a value that has no counterpart here."""
    return TricksterError(
        "cannot-convert", f"{key}: {value} cannot be converted: {why}.", f"{advice}, and convert again."
    )
