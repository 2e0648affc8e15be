"""Training with torch in several processes that hold the model together: torch's FSDP2.

Each process keeps a share of every weight, gradient and optimizer tensor; a block's weights are brought together while
it works. A checkpoint is put together tensor by tensor and is the same as that of one process. What torch needs for it
takes seconds to import, and is loaded only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trickster_engine.backends.base import SavedArrays
from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.config.plan import Plan
from trickster_engine.model.llama import Llama
from trickster_engine.model.stored_arrays import Array, ArraysOnDemand


class ShardedBackend(TorchBackend):
    """Full sharding. All processes go through the model equally often, also to evaluate and to sample."""

    def __init__(
        self, plan: Plan, device: str, precision: str | None, group: ProcessGroup, teachers: Sequence[Llama] = ()
    ) -> None:
        super().__init__(plan, device, precision, compiled=False, group=group, teachers=teachers)

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """All weights under their canonical names, each brought together when it is asked for, by all at once."""
        return _Gathered(self._shards())

    def optimizer_state(self) -> Mapping[str, NDArray[np.generic]]:
        """The optimizer's memory, likewise."""
        return _Gathered(self._optimizers.state())

    @torch.no_grad()
    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint, written by any number of processes."""
        for name, shard in self._shards().items():
            shard.copy_(_share_like(torch.from_numpy(weights[name]).to(self._device), shard))
        self._optimizers.load_state(optimizer_state, _share_like)
        self._load_random_state(random_state)

    def _placed(self, model: Llama) -> Llama:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self._device.type, (self._group.size,))
        for block in model.model.layers:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)  # the embedding, the last norm and the output layer
        model.model.rotary.to(self._device)
        return model

    def _make_layer_watch(self) -> None:
        return None

    def _shards(self) -> dict[str, Tensor]:
        from torch.distributed.fsdp import FSDPModule

        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # an evaluation leaves the outermost weights together
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}


class _Gathered(ArraysOnDemand):
    """Tensors that are spread over the processes, as whole arrays."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def nbytes(self, name: str) -> int:
        """The size of the whole."""
        tensor = self._tensors[name]
        return tensor.numel() * tensor.element_size()

    def __getitem__(self, name: str) -> Array:
        tensor = self._tensors[name]
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        array: Array = whole.cpu().numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _share_like(whole: Tensor, like: Tensor) -> Tensor:
    """The share of a whole tensor that belongs beside another one's. Every process has read the whole from disk."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
