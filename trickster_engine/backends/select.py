"""From the config's `device_type` to an open backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from trickster_engine.backends.base import Backend
from trickster_engine.backends.process_group import SINGLE_PROCESS, ProcessGroup
from trickster_engine.backends.torch.attention_check import require_attention
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.ddp import DataParallelBackend
from trickster_engine.backends.torch.fsdp import ShardedBackend
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.model.llama import Llama
from trickster_engine.system.tenstorrent import board_present


def open_backend(
    plan: Plan,
    precision: str | None = None,
    compiled: bool | None = None,
    report: Callable[[str], None] = lambda _: None,
    events_path: Path | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    document_end: int | None = None,
    teachers: Sequence[Llama] = (),
) -> Backend:
    """Open the device a plan names, or this process's part of it. The caller closes the backend in a `finally`.

    `document_end` is the token that ends a document, for a plan with `mask_documents`.

    `precision` and `compiled` hold a resumed run to what it settled on before on the same kind of device. `report` is
    told what takes long. A warning event goes straight to `events_path` when a device stops answering and this process
    cannot speak. `teachers` are the models that `distill_from` names.
    Raises TricksterError where the device is not here.
    """
    device = chosen_device(plan)
    if plan.data.mask_documents and device not in ("cpu", "cuda"):
        raise TricksterError(
            "mask-documents-unavailable",
            f"data_config.mask_documents needs a CPU or a CUDA GPU, and this run trains on {device}.",
            "Remove mask_documents, or set device_config.device_type: cpu.",
        )
    if device == "tt":
        return TtmlBackend(plan, report, events_path)
    check_torch_device(device)
    for teacher in teachers:
        teacher.model.document_end = document_end
    if group.size > 1:
        if plan.training.batch_size % group.size:
            raise TricksterError(
                "batch-divides-devices",
                f"batch_size {plan.training.batch_size} cannot be divided evenly among {group.size} processes.",
                f"Set training_config.batch_size to a multiple of {group.size}, or change the number of processes.",
            )
        kind = ShardedBackend if plan.device.sharding == "full" else DataParallelBackend
        several = kind(plan, device, precision, group, teachers)
        several.model.model.document_end = document_end
        return several
    backend = TorchBackend(plan, device, precision, compiled, report, teachers=teachers)
    backend.model.model.document_end = document_end
    if device != "cpu":  # a processor's kernels are those that our tests run
        require_attention(plan.model, backend.model.device, backend.precision)
    return backend


def process_count(plan: Plan) -> int:
    """How many processes a plan trains in: with torch one for each device; ttml drives all its chips from one."""
    rows, columns = plan.device.mesh_shape
    if not plan.device.enable_ddp or rows * columns == 1 or chosen_device(plan) == "tt":
        return 1
    return rows * columns


def chosen_device(plan: Plan) -> str:
    """The kind of device a plan trains on here: tt, cuda, mps or cpu."""
    return best_device() if plan.device.device_type == "auto" else plan.device.device_type


def torch_device(plan: Plan) -> str:
    """The same where torch trains: cuda, mps or cpu. Raises TricksterError for a plan that trains on a board."""
    device = chosen_device(plan)
    if device == "tt":
        raise TricksterError(
            "needs-torch-device",
            "Only torch's devices can be timed, and this config trains on a Tenstorrent board.",
            "Add --set device_config.device_type=cpu (or cuda).",
        )
    check_torch_device(device, 1)
    return device


def best_device() -> str:
    """The fastest kind of device that this machine has and this Python can use."""
    if board_present():
        return "tt"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_torch_device(device: str, count: int = 1) -> None:
    """Raise TricksterError unless torch has a kind of device here, and as many of them."""
    here = {
        "cpu": count,  # as many processes as one likes share it
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }[device]
    if here == 0:
        raise TricksterError(
            "device-unavailable",
            f"device_config.device_type is {device}, but torch {torch.__version__} finds no such device.",
            "Set device_type: auto to use the best device available, or install a torch build for your device.",
        )
    if here < count:
        raise TricksterError(
            "too-few-devices",
            f"mesh_shape asks for {count} devices; this machine has {here} of type {device}.",
            f"Set device_config.mesh_shape: [1, {here}]" + (" and enable_ddp: false." if here == 1 else "."),
        )
