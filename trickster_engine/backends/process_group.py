"""The processes that train a run: one by itself, or several that torchrun has started (`torch/process_group.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from trickster_engine.errors import TricksterError

T = TypeVar("T")

#: The code of the error that another process of the group is gone.
PROCESS_LOST = "process-lost"


class ProcessGroup:
    """A process that trains by itself, and so agrees with everybody.

    In a group of several, every method is called by all of them, in the same order: they wait for one another.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes the run directory."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is up anywhere. The same answer for all."""
        return flag

    def broadcast(self, value: T) -> T:
        """The main process's value, for all."""
        return value

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        return [value]

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sums over all, bit for bit the same for all."""
        return list(values)

    def explain(self, error: BaseException) -> TricksterError | None:
        """Turn the loss of another process into words, or None where an error is something else."""
        return None


SINGLE_PROCESS = ProcessGroup()
