"""Training with torch in several processes that hold the model together: torch's FSDP2.

Each process keeps a share of every weight, gradient and optimizer tensor; a block's weights are brought together while
it works. A checkpoint is put together tensor by tensor and is the same as that of one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from trickster_engine.backends.base import SavedArrays
from trickster_engine.backends.torch.ddp import TeamBackend
from trickster_engine.model.llama import Llama
from trickster_engine.model.stored_arrays import Array, ArraysOnDemand


class ShardedBackend(TeamBackend):
    """Full sharding. All processes go through the model equally often, also to evaluate and to sample."""

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """All weights under their canonical names, each brought together when it is asked for, by all at once."""
        return _Gathered(self._shards())

    def optimizer_state(self) -> Mapping[str, NDArray[np.generic]]:
        """The optimizer's memory, likewise."""
        return _Gathered(self._optimizers.tensors())

    def load(self, weights: SavedArrays, optimizer_state: SavedArrays, random_state: SavedArrays) -> None:
        """Take the model back to a checkpoint, written by any number of processes."""
        super().load(weights, {}, random_state)
        self._optimizers.load_state(optimizer_state, _share_like)

    def _placed(self, model: Llama) -> Llama:
        mesh = init_device_mesh(self._device.type, (self.team.size,))
        for block in model.model.layers:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)  # the embedding, the last norm and the output layer
        model.model.rotary.to(self._device)
        return model

    @torch.no_grad()
    def _load_weights(self, weights: SavedArrays) -> None:
        for name, shard in self._shards().items():
            shard.copy_(_share_like(torch.from_numpy(weights[name]).to(self._device), shard))

    def _shards(self) -> dict[str, Tensor]:
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # an evaluation leaves the outermost weights together
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    def _clipped_norm(self) -> float:
        norm = self._clip()
        return float(norm.full_tensor().item()) if isinstance(norm, DTensor) else float(norm.item())

    def _summed_loss(self, inputs: NDArray[np.int64], targets: NDArray[np.int64]) -> float:
        if targets.size:
            return super()._summed_loss(inputs, targets)
        # No rows are left for this process, but the others need its share of the weights.
        self.model(torch.zeros((1, inputs.shape[1]), dtype=torch.long, device=self._device))
        return 0.0


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
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        array: Array = whole.cpu().numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _share_like(whole: Tensor, like: Tensor) -> Tensor:
    """The share of a whole tensor that belongs beside another one's. Every process has read the whole from disk."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
