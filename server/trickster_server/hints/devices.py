"""Whether the device that a config names is here, and whether what it trains fits into memory."""

from __future__ import annotations

import platform
import sys
from functools import lru_cache
from pathlib import Path

from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Problem
from trickster_engine.estimates.fitting import Fit, fit
from trickster_engine.estimates.machines import Machine
from trickster_engine.estimates.memory import training_memory
from trickster_engine.system.machine import has_nvidia_driver, main_memory, nvidia_gpus
from trickster_engine.system.units import size_text
from trickster_server.documents import Document

_DEVICE = "device_config.device_type"
_BATCH = "training_config.batch_size"
_NAMES = {"tt": "Tenstorrent board", "cuda": "NVIDIA GPU", "mps": "Apple GPU"}


def device_problems(plan: Plan, document: Document, may_run: bool) -> list[Problem]:
    """A device that is not here, or memory that is too small. `may_run`: programs may be asked."""
    device = plan.device.device_type
    if device in _NAMES and not _is_here(device):
        message = f"This machine has no {_NAMES[device]}. device_type: auto uses the fastest device available."
        fix = document.settings.write(_DEVICE, "auto", preferred=False)
        where = document.place_of(_DEVICE)
        return [Problem("device-not-here", "hint", message, where, (fix,) if fix else (), key=_DEVICE)]
    available, name, on_gpu = _available_memory(device, may_run)
    said = memory_advice(plan, available, name, on_gpu) if available is not None else None
    return [Problem("memory-too-small", "hint", said, document.place_of(_BATCH), key=_BATCH)] if said else []


def memory_advice(plan: Plan, available: float, name: str, on_gpu: bool) -> str | None:
    """What to say where a plan does not fit: how much is missing and what makes it fit, reckoned; None where it fits.

    `available` bytes are those of one device, whose `name` is said; `on_gpu`: they are a GPU's own.
    """
    devices = plan.device.devices
    if plan.device.sharding == "full":
        planned = training_memory(plan)
        needed = planned.device if on_gpu else planned.total * devices
        more = (
            ("A smaller batch_size needs less memory, and so does")
            if plan.training.batch_size > devices
            else "It takes"
        )
        advice = f"{more} a smaller model."
    else:
        there = fit(plan, Machine(name, "cuda" if on_gpu else "cpu", devices, int(available), None, "this machine"))
        needed = there.needed
        advice = _what_would_fit(there)
    if needed <= available:
        return None
    processes = f" for its {devices} processes" if devices > 1 and not on_gpu else ""
    return f"Training needs about {size_text(needed)}{processes}, and {name} has {size_text(available)}. {advice}"


def _what_would_fit(there: Fit) -> str:
    change = there.change
    if change is not None:
        kept = (
            "each step still uses the same number of tokens"
            if change.same_update
            else "the model then has a shorter context"
        )
        return f"It fits with {change.as_text()}: about {size_text(change.needed)}, and {kept}."
    if there.shared_by is not None:
        return (
            f"It does not fit with any batch size: use {there.shared_by} such GPUs with sharding: full, or a smaller "
            "model."
        )
    return "It does not fit with any batch size: use a smaller model."


def _available_memory(device: str, may_run: bool) -> tuple[float | None, str, bool]:
    """Bytes there are, whose they are, and whether they are a GPU's own."""
    if device in ("auto", "cuda") and may_run and _is_here("cuda") and (size := _gpu_memory()) is not None:
        return size, "the GPU", True
    if device in ("auto", "cpu", "mps"):
        return main_memory(), "this machine", False
    return None, "", False


def _is_here(device: str) -> bool:
    if device == "tt":
        return any(Path("/dev/tenstorrent").glob("*"))
    if device == "mps":
        return sys.platform == "darwin" and platform.machine() == "arm64"
    return has_nvidia_driver()


@lru_cache(maxsize=1)
def _gpu_memory() -> int | None:
    """Memory of the largest GPU in bytes, asked once."""
    return max((gpu.memory for gpu in nvidia_gpus()), default=None)
