"""A double of ttml, for tests only. It is no simulator and says nothing about silicon. See ../../README.md."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import ttnn
from ttnn._variant import VARIANT

from . import _runtime, ops, optimizers
from ._runtime import NamedParameters, submodule

autograd = submodule(
    "autograd",
    Tensor=_runtime.Tensor,
    GradMode=_runtime.GradMode,
    PreferredPrecision=_runtime.PreferredPrecision,
    DistributedConfig=_runtime.DistributedConfig,
)
if VARIANT.auto_context:
    autograd.AutoContext = _runtime.AutoContext


def _enable_fabric(devices: int) -> None:
    if devices not in (8, 32) and not os.environ.get("TT_MESH_GRAPH_DESC_PATH"):
        raise RuntimeError("the double: no mesh graph descriptor; the real call hangs")
    _runtime.context().fabric = devices


def _clip_grad_norm(
    parameters: NamedParameters, max_norm: float, p_norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> _runtime.Tensor:
    if not isinstance(parameters, NamedParameters):
        raise TypeError("clip_grad_norm(): incompatible function arguments")
    tensors = [tensor for _, tensor in parameters.pairs() if tensor.is_grad_initialized()]
    norms = []
    for chip in range(_runtime.context().get_device().chips):
        gradients = [tensor.gradients()[chip] for tensor in tensors]
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        factor = min(1.0, max_norm / (float(norm) + 1e-6))
        for gradient in gradients:
            gradient.mul_(factor)
        norms.append(norm.reshape(1, 1, 1, 1))
    return _runtime.result(norms)


def _synchronize_gradients(parameters: NamedParameters, cluster_axes: object = None) -> None:
    parallel = _runtime.context()._parallel
    if parallel is None:
        return  # in silence, as the real one does
    for _, tensor in parameters.pairs():
        if tensor.is_grad_initialized():
            mean = torch.stack(tensor.gradients()).mean(0)
            for part in tensor._value.parts:
                part.grad = ttnn.bf16(mean)


core = submodule(
    "core",
    distributed=submodule(
        "distributed",
        enable_fabric=_enable_fabric,
        shard_tensor_to_mesh_mapper=_runtime.ShardMapper,
        concat_mesh_to_tensor_composer=_runtime.ConcatComposer,
        synchronize_gradients=_synchronize_gradients,
    ),
)
if VARIANT.clip_grad_norm:
    core.clip_grad_norm = _clip_grad_norm

if VARIANT.open_device_mesh:

    class Mesh:
        def __init__(self, shape: Sequence[int], axis_names: Sequence[str]) -> None:
            if len(shape) != len(axis_names):
                raise ValueError("each axis in a mesh must have an assigned name")
            self.shape, self.axis_names = tuple(shape), tuple(axis_names)

    def open_device_mesh(mesh: Mesh | Sequence[int], device_ids: object = None) -> None:
        if not isinstance(mesh, Mesh):
            mesh = Mesh(mesh, tuple(f"_{index}" for index in range(len(mesh))))
        if mesh.shape[0] * mesh.shape[1] > 1:
            _enable_fabric(mesh.shape[0] * mesh.shape[1])
        autograd.AutoContext.get_instance().open_device(list(mesh.shape), [])

    if VARIANT.close_device_mesh:

        def close_device_mesh() -> None:
            autograd.AutoContext.get_instance().close_device()


from . import models  # noqa: E402 - needs everything above

__all__ = ["NamedParameters", "autograd", "core", "models", "ops", "optimizers"]
