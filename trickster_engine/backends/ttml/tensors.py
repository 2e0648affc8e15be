"""Tensors on the device: written from NumPy arrays, and read back in the precision they are stored in.

Shapes, with B sequences of T tokens and a vocabulary of V: token ids [B, 1, 1, T] and targets [B, T], both uint32 and
row-major; logits [B, 1, T, V]; weights [1, 1, rows, columns] in bfloat16 tiles.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.ttml.package import UPDATE_ADVICE
from trickster_engine.backends.ttml.weights import round_to_bf16
from trickster_engine.errors import TricksterError

Floats = NDArray[np.float32]


class TtmlTensors:
    """Writes and reads the tensors of an open device."""

    def __init__(self, ttml: ModuleType, ttnn: ModuleType, chips: int) -> None:
        self._ttml: Any = ttml
        self._ttnn: Any = ttnn
        self._chips = chips

    def upload_weights(self, array: Floats, *, full_precision: bool = False) -> Any:
        """A [1, 1, rows, columns] tensor, the same on every chip, in bfloat16 or (optimizer memory) float32."""
        types = self._ttnn.DataType
        return self._ttml.autograd.Tensor.from_numpy(
            _host_array(array if full_precision else round_to_bf16(array), np.float32),
            layout=self._ttnn.Layout.TILE,
            new_type=types.FLOAT32 if full_precision else types.BFLOAT16,
        )

    def upload_tokens(self, tokens: NDArray[np.integer[Any]], shape: tuple[int, ...]) -> Any:
        """Token ids as uint32, row-major; on several chips the first axis is dealt among them."""
        more = {"mapper": self._shard()} if self._chips > 1 else {}
        return self._ttml.autograd.Tensor.from_numpy(
            _host_array(tokens.reshape(shape), np.uint32),
            layout=self._ttnn.Layout.ROW_MAJOR,
            new_type=self._ttnn.DataType.UINT32,
            **more,
        )

    def download(self, tensor: Any, *, full_precision: bool = False) -> Floats:
        """A tensor as float32. On several chips their parts come back one after another along the first axis.

        `full_precision`: the tensor is stored as float32, as only the memory of AdamW in full precision is.
        """
        # A tensor keeps the views of itself that were once read, and builds of 2026 write past them: a second read
        # gave the values of the first. What wraps the stored value has no views yet.
        fresh = self._ttml.autograd.Tensor(self.stored(tensor, full_precision=full_precision), False)
        more = {"composer": self._gather()} if self._chips > 1 else {}
        return np.asarray(fresh.to_numpy(self._ttnn.DataType.FLOAT32, **more), dtype=np.float32)

    def download_copy(self, tensor: Any, *, full_precision: bool = False) -> Floats:
        """A tensor that every chip has a copy of: the first chip's, whether one came back or all of them."""
        rows = self.download(tensor, full_precision=full_precision)
        once = int(next(iter(tensor.shape())))
        if len(rows) not in (once, once * self._chips):
            raise TricksterError(
                "ttml-shape",
                f"A tensor of {once} rows, copied to {self._chips} chips, came back with {len(rows)} rows.",
                f"Train on one chip with device_config.mesh_shape: [1, 1]. {UPDATE_ADVICE}",
            )
        return rows[:once]

    def stored(self, tensor: Any, *, full_precision: bool = False) -> Any:
        """The ttnn tensor that holds a tensor's values, in the precision it is stored in."""
        kinds = self._ttml.autograd.PreferredPrecision
        if hasattr(kinds, "NATIVE"):
            return tensor.get_value(kinds.NATIVE)
        return tensor.get_value(kinds.FULL if full_precision else kinds.HALF)

    def stored_in_full(self, tensor: Any, *, full_precision: bool) -> bool:
        """Whether a tensor is stored as float32. What `Tensor.dtype` says is the type of a view."""
        return bool(self.stored(tensor, full_precision=full_precision).dtype == self._ttnn.DataType.FLOAT32)

    def clone(self, tensor: Any) -> Any:
        """A copy that nothing else shares: inference reuses the memory of a mask it was given."""
        return self._ttml.autograd.Tensor(self._ttnn.clone(self.stored(tensor)), False)

    def _shard(self) -> Any:
        return self._ttml.core.distributed.shard_tensor_to_mesh_mapper(
            self._ttml.autograd.AutoContext.get_instance().get_device(), 0
        )

    def _gather(self) -> Any:
        return self._ttml.core.distributed.concat_mesh_to_tensor_composer(
            self._ttml.autograd.AutoContext.get_instance().get_device(), 0
        )


def tensor_of(parameter: Any) -> Any:
    """The tensor of a parameter: in some builds a mapping holds tensors, in others objects with a tensor."""
    return getattr(parameter, "tensor", parameter)


def _host_array(array: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    """An array whose memory can be read from front to back: the binding does not honour strides."""
    plain = np.require(array, dtype=kind, requirements=["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])
    return plain if plain.flags.writeable else plain.copy()
