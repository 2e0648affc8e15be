"""Who trains a run: one process by itself, or several that torchrun has started (`backends/torch/process_group.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from trickster_engine.errors import TricksterError

T = TypeVar("T")


class Team:
    """A process that trains by itself, and so agrees with everybody.

    In a team of several, every method is called by all of them, in the same order: they wait for one another.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes the run directory."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is up anywhere. The same answer for all."""
        return flag

    def shared(self, value: T) -> T:
        """The leader's value, which the others' gives way to."""
        return value

    def gathered(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        return [value]

    def summed(self, values: Sequence[float]) -> list[float]:
        """The sums over all, bit for bit the same for all."""
        return list(values)

    def explain(self, error: BaseException) -> TricksterError | None:
        """Turn the loss of another process into words, or None where an error is something else."""
        return None


ALONE = Team()
