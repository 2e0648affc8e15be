"""Training with torch in several processes, each with a copy of the model and a share of every batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from trickster_engine.backends.base import Arrays, Batch, SavedArrays
from trickster_engine.backends.processes import Team
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError


class TeamBackend(TorchBackend):
    """What holds for every way of sharing the work: rows, losses, random generators.

    Each process draws its dropout from a generator of its own. A checkpoint holds them all; with another number of
    processes each takes the one of its rank, and those beyond begin with a fresh one.
    """

    def __init__(self, plan: Plan, device: str, precision: str | None, team: Team) -> None:
        if plan.training.batch_size % team.size:
            raise TricksterError(
                "batch-divides-devices",
                f"batch_size {plan.training.batch_size} cannot be divided evenly among {team.size} processes.",
                f"Set training_config.batch_size to a multiple of {team.size}, or change the number of processes.",
            )
        self.team = team
        place = f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device
        super().__init__(plan, place, precision, compiled=False)
        torch.manual_seed(plan.training.seed + team.rank)

    @property
    def device(self) -> str:
        """The device in words, and how many of them."""
        return f"{super().device}, {self.team.size} processes"

    def random_state(self) -> Arrays:
        """The generators of all processes: the leader's under the name it has alone, the others' as `<kind>/<rank>`."""
        states = self.team.gathered(super().random_state())
        return {
            kind if rank == 0 else f"{kind}/{rank}": state
            for rank, own in enumerate(states)
            for kind, state in own.items()
        }

    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint, written by any number of processes."""
        mine = "" if self.team.rank == 0 else f"/{self.team.rank}"
        own = {kind: random_state[kind + mine] for kind in ("cpu", "cuda") if kind + mine in random_state}
        super().load(weights, optimizer_state, own)

    def _faster_precision(self) -> str:
        return self.team.shared(super()._faster_precision())

    def _emulates_bf16(self) -> bool:
        """Agreed upon, because what follows from it all processes have to do together."""
        return self.team.shared(super()._emulates_bf16())

    def _share(self, batch: Batch) -> Batch:
        """The rows of this process. In the order of ranks, they are the batch."""
        inputs, targets = (np.array_split(part, self.team.size)[self.team.rank] for part in batch)
        return inputs, targets

    def _mean_loss(self, loss: float) -> float:
        return self.team.summed([loss])[0] / self.team.size

    def _whole_sum(self, total: float, count: int) -> tuple[float, int]:
        total, whole = self.team.summed([total, count])
        return total, int(whole)


class DataParallelBackend(TeamBackend):
    """torch's DistributedDataParallel: gradients are averaged while the backward pass still runs."""

    def __init__(self, plan: Plan, device: str, precision: str | None, team: Team) -> None:
        super().__init__(plan, device, precision, team)
        self._network = self._parallel = DistributedDataParallel(
            self.model, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        self._settle_buckets()

    def _settle_buckets(self) -> None:
        """Go forwards and backwards once over next to nothing.

        After its first backward pass DDP orders its buckets anew, and with them the order in which gradients are added
        up. Done now, a resumed run rounds exactly as one that never stopped.
        """
        random_state = super(TeamBackend, self).random_state()
        tokens = torch.zeros((1, 1), dtype=torch.long, device=self._device)
        self.model.train()
        torch.autograd.backward(self._loss(tokens, tokens))
        self._optimizers.zero_grad()
        self._set_random_state(random_state)

    def _gradients_shared(self, last: bool) -> AbstractContextManager[None]:
        """Gradients of all but the last micro-batch are only added up."""
        return nullcontext() if last else self._parallel.no_sync()
