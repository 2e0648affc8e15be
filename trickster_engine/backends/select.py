"""From the config's `device_type` to an open backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trickster_engine.backends.base import Backend
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError


def open_backend(
    plan: Plan,
    precision: str | None = None,
    report: Callable[[str], None] = lambda _: None,
    events_path: Path | None = None,
) -> Backend:
    """Open the device a plan names. The caller closes the backend in a `finally`.

    `precision` holds a resumed run to what it settled on before on the same kind of device. `report` is told what takes
    long. A warning event goes straight to `events_path` when a device stops answering and this process cannot speak.
    Raises TricksterError where the device is not here.
    """
    device = chosen_device(plan)
    if device == "tt":
        from trickster_engine.backends.ttml_backend import TtmlBackend

        return TtmlBackend(plan, report, events_path)
    _check_torch_device(device, plan)
    from trickster_engine.backends.torch_backend import TorchBackend

    return TorchBackend(plan, device, precision)


def chosen_device(plan: Plan) -> str:
    """The kind of device a plan trains on here: tt, cuda, mps or cpu."""
    return best_device() if plan.device.device_type == "auto" else plan.device.device_type


def best_device() -> str:
    """The fastest kind of device that this machine has and this Python can use."""
    from trickster_engine.backends.tenstorrent import board_present

    if board_present():
        return "tt"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_torch_device(device: str, plan: Plan) -> None:
    import torch

    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here[device]:
        raise TricksterError(
            "device-unavailable",
            f"device_config.device_type is {device}, but torch {torch.__version__} finds no such device here.",
            "Set device_type: auto to take what this machine has, or install a torch build for your device.",
        )
    rows, columns = plan.device.mesh_shape
    if plan.device.enable_ddp and rows * columns > 1:
        raise TricksterError(
            "data-parallel-unavailable",
            f"enable_ddp with mesh_shape [{rows}, {columns}] asks for {rows * columns} devices; "
            f"training on {device} uses one.",
            "Set enable_ddp: false and mesh_shape: [1, 1].",
        )
