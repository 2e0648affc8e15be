"""The processes of one run as torchrun started them, and what they say to each other.

What training says (gradients, weights) goes through torch's own wrappers: NCCL between CUDA devices, gloo between
processors. What is said here is small and lives in main memory: a request to stop, a loss, a choice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.training.team import Team

T = TypeVar("T")

#: How long a process waits for the others, unless the launcher says otherwise: a leader may be writing a large
#: checkpoint to a slow disk. A process that has ended is noticed at once; this is for one that can no longer be heard.
DEFAULT_PATIENCE_S = 1800
PATIENCE_VARIABLE = "TRICKSTER_PATIENCE_S"
#: The code of the error that says another process is gone.
PROCESS_LOST = "process-lost"


class Torchrun(Team):
    """One process among those that torchrun started, on this machine and on others."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is up anywhere."""
        votes = torch.tensor([int(flag)], dtype=torch.int32)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def shared(self, value: T) -> T:
        """The leader's value."""
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gathered(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        boxes: list[Any] = [None] * self.size
        dist.all_gather_object(boxes, value)
        return boxes

    def summed(self, values: Sequence[float]) -> list[float]:
        """The sums over all."""
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return list(total.tolist())

    def explain(self, error: BaseException) -> TricksterError | None:
        """Say that another process is gone, where that is what an error of the communication means."""
        if not _is_communication_error(error):
            return None
        return TricksterError(
            PROCESS_LOST,
            f"Process {self.rank} of {self.size} lost touch with another process of the run: {_first_line(error)}",
            "The last checkpoint is whole. Go on with: trickster resume <run>",
            EXIT_TRAINING_FAILED,
        )


def started_by_torchrun() -> bool:
    """Whether torchrun has started this process, by the variables it sets."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))


def patience_s() -> int:
    """How many seconds a process waits for the others."""
    return int(os.environ.get(PATIENCE_VARIABLE, DEFAULT_PATIENCE_S))


@contextmanager
def torchrun_team(device: str) -> Iterator[Torchrun]:
    """Meet the other processes; `device` is the kind they train on, cuda or cpu."""
    place = None
    if device == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=patience_s()), device_id=place)
    yield Torchrun(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    # Only after an orderly end: with a process missing, taking the group down could wait for it for ever.
    dist.destroy_process_group()


def _is_communication_error(error: BaseException) -> bool:
    if isinstance(error, dist.DistError):
        return True
    # gloo's are plain RuntimeErrors, told by the source file they name.
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection closed by peer" in str(error))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
