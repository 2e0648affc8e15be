"""SFPI, the compiler for kernels that ttnn needs before it opens a device, looked for without importing anything.

ttnn from a wheel says which release it wants and does not bring it; tt-metal's build downloads it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WANTED = re.compile(r"""^sfpi_version=['"]?v?(\d+\.\d+\.\d+)""", re.MULTILINE)
_SAYS = re.compile(r"tenstorrent/sfpi:v?(\d+\.\d+\.\d+)")
_COMPILER = "compiler/bin/riscv-tt-elf-g++"
#: Where it is installed for the whole machine.
SYSTEM_WIDE = Path("/opt/tenstorrent/sfpi")


def sfpi_facts(roots: Sequence[Path], system_wide: Path = SYSTEM_WIDE) -> dict[str, Any]:
    """Which release ttnn wants, where it may lie, and which one does. `roots`: ttnn's folder, or tt-metal's tree."""
    wanted = next((found for root in roots if (found := _wanted(root))), None)
    places = [*(root / "runtime/sfpi" for root in roots), system_wide]
    here = next((place for place in places if place.is_dir()), None)
    return {
        "wanted": wanted,
        "places": [str(place) for place in places],
        "place": str(here) if here else None,
        "version": _version(here) if here else None,
    }


def _wanted(root: Path) -> str | None:
    for name in ("tt_metal/sfpi-version", "tt_metal/sfpi-version.sh"):
        try:
            match = _WANTED.search((root / name).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if match:
            return match.group(1)
    return None


def _version(place: Path) -> str | None:
    """What the compiler says that it is; None where it says nothing of the kind."""
    try:
        answer = subprocess.run(
            [place / _COMPILER, "--version"], check=False, capture_output=True, text=True, errors="replace", timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _SAYS.search(answer.stdout)
    return match.group(1) if match else None
