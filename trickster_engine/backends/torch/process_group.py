"""The processes of one run as torchrun started them, and what they say to each other.

What training says (gradients, weights) goes through torch's own wrappers: NCCL between CUDA devices, gloo between
processors. What is said here is small and lives in main memory: a request to stop, a loss, a choice. torch's own way
to send an object is pickle, which runs what it is sent; here it is JSON, with a form of its own for paths and arrays.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

from trickster_engine.backends.process_group import PROCESS_LOST, ProcessGroup
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError

T = TypeVar("T")

#: How long a process waits for the others, unless the launcher says otherwise: the main one may be writing a large
#: checkpoint to a slow disk. A process that has ended is noticed at once; this is for one that can no longer be heard.
DEFAULT_PATIENCE_S = 1800
PATIENCE_VARIABLE = "TRICKSTER_PATIENCE_S"
#: The file in which the processes of one machine meet. Absent with several machines: they meet as torchrun says.
MEETING_FILE_VARIABLE = "TRICKSTER_MEETING_FILE"
_PATH, _ARRAY = "path", "array"


class TorchProcessGroup(ProcessGroup):
    """One process among those that torchrun started, on this machine and on others."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is up anywhere."""
        votes = torch.tensor([int(flag)], dtype=torch.int32)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes.item())

    def broadcast(self, value: T) -> T:
        """The main process's value. Only that one has to be of a kind that can be sent."""
        first = self.gather(value if self.rank == 0 else None)[0]
        return value if self.rank == 0 else cast(T, first)

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank."""
        data = torch.frombuffer(bytearray(encode(value)), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(data)]))
        longest = max(int(size.item()) for size in sizes)
        boxes = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(boxes, torch.nn.functional.pad(data, (0, longest - len(data))))
        return [decode(box[: int(size.item())].numpy().tobytes()) for box, size in zip(boxes, sizes, strict=True)]

    def sum(self, values: Sequence[float]) -> list[float]:
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
            f"Process {self.rank} of {self.size} lost the connection to another process of the run: "
            f"{_first_line(error)}",
            "The last checkpoint is complete. Resume with: trickster resume <run>",
            EXIT_TRAINING_FAILED,
        )


def started_by_torchrun() -> bool:
    """Whether torchrun has started this process, by the variables it sets."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))


def patience_s() -> int:
    """How many seconds a process waits for the others."""
    return int(os.environ.get(PATIENCE_VARIABLE, DEFAULT_PATIENCE_S))


@contextmanager
def torch_process_group(device: str) -> Iterator[TorchProcessGroup]:
    """Meet the other processes; `device` is the kind they train on, cuda or cpu."""
    place = None
    if device == "cuda":
        place = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(place)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(
        backend,
        timeout=timedelta(seconds=patience_s()),
        store=_meeting_file(size),
        rank=rank,
        world_size=size,
        device_id=place,
    )
    yield TorchProcessGroup(rank, size)
    # Only after an orderly end: with a process missing, taking the group down could wait for it for ever.
    dist.destroy_process_group()


def _is_communication_error(error: BaseException) -> bool:
    if isinstance(error, dist.DistError):
        return True
    # gloo's are plain RuntimeErrors, told by the source file they name.
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection closed by peer" in str(error))


def _meeting_file(size: int) -> FileStore | None:
    """Where the processes of one machine meet: in a folder that is the user's alone, so that nothing has to listen."""
    path = os.environ.get(MEETING_FILE_VARIABLE)
    return FileStore(path, size) if path else None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def encode(value: Any) -> bytes:
    """The value as bytes. Raises TypeError for what is neither plain JSON, nor a path, nor an array of numbers."""
    return json.dumps(value, default=_in_words).encode("ascii")


def decode(data: bytes) -> Any:
    """The value that `encode` was given; tuples come back as lists. Raises ValueError."""
    return json.loads(data, object_hook=_from_words)


def _in_words(value: object) -> dict[str, Any]:
    if isinstance(value, Path):
        return {_PATH: str(value), "": True}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        words = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {_ARRAY: words, "type": value.dtype.str, "shape": list(value.shape), "": True}
    raise TypeError(f"{type(value).__name__} cannot be sent to other processes")


def _from_words(value: dict[str, Any]) -> Any:
    if value.get("") is not True:
        return value
    if _PATH in value:
        return Path(value[_PATH])
    kind = np.dtype(value["type"])
    if kind.kind not in "biuf":
        raise ValueError(f"an array of {kind} was not expected")
    return np.frombuffer(base64.b64decode(value[_ARRAY]), kind).reshape(value["shape"]).copy()
