"""The machine that figures were measured on, as it is written beside them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_FORMATS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")


def machine() -> dict[str, str | int]:
    """Its processor with the widest instructions that it has, its cores, and Python's version."""
    return {"processor": _processor(), "cores": os.cpu_count() or 1, "python": platform.python_version()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", maxsplit=1)[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name", platform.machine())
    widest = next((one for one in _FORMATS if one in told.get("flags", "").split()), None)
    return f"{name} with {widest}" if widest else name
