"""Training with torch in several processes, each with a copy of the model: torch's DistributedDataParallel.

Gradients are averaged while the backward pass still runs, after the last micro-batch of an update.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn.parallel import DistributedDataParallel

from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config.plan import Plan
from trickster_engine.model.llama import Llama


class DataParallelBackend(TorchBackend):
    """A copy of the model in every process."""

    def __init__(
        self, plan: Plan, device: str, precision: str | None, group: ProcessGroup, teachers: Sequence[Llama] = ()
    ) -> None:
        super().__init__(plan, device, precision, compiled=False, group=group, teachers=teachers)
        network = DistributedDataParallel(self.model, forward_sync_buffers=False, gradient_as_bucket_view=True)
        self._network, self._no_sync = network, network.no_sync
        # After its first backward pass DDP orders its buckets anew, and with them the order in which gradients are
        # added up. Done now, over next to nothing, a resumed run rounds exactly as one that never stopped.
        self._trial_pass(1, 1)
