"""Programs that take a Tenstorrent board's place, as tt-metal is told by a variable of the environment.

ttsim simulates a chip, tt-emule runs its kernels on the processor, and a mock computes nothing. What they do says
nothing about a board's speed, and whatever they have a part in says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SIMULATOR_VARIABLE = "TT_METAL_SIMULATOR"
SLOW_DISPATCH_VARIABLE = "TT_METAL_SLOW_DISPATCH_MODE"
NO_MACRO_VARIABLE = "TT_METAL_DISABLE_SFPLOADMACRO"
DESCRIPTOR_NAME = "soc_descriptor.yaml"

#: In the order in which tt-metal heeds them, with what is said of a device.
_HOW = (
    (SIMULATOR_VARIABLE, "simulated"),
    ("TT_METAL_EMULE_MODE", "emulated by tt-emule"),
    ("TT_METAL_MOCK_CLUSTER_DESC_PATH", "a mock that computes nothing"),
)
VARIABLES = tuple(variable for variable, _ in _HOW)

_CHIPS = re.compile(r"libttsim_(?P<kind>wh|bh)(?:_x(?P<chips>\d+))?")
_ARCHITECTURES = {"wh": "wormhole_b0", "bh": "blackhole"}
_DESCRIPTORS = {"wormhole_b0": "wormhole_b0_80_arch.yaml", "blackhole": "blackhole_140_arch.yaml"}


@dataclass(frozen=True)
class Substitute:
    """What stands in for a board."""

    variable: str
    value: str
    how: str  # "simulated by ttsim"

    @property
    def simulates(self) -> bool:
        """Whether it computes what a chip does, in a time of its own."""
        return self.variable == SIMULATOR_VARIABLE

    @property
    def architecture(self) -> str | None:
        """`wormhole_b0` or `blackhole`, where the name of the library tells."""
        match = _CHIPS.match(Path(self.value).name) if self.simulates else None
        return _ARCHITECTURES[match["kind"]] if match else None

    @property
    def chips(self) -> int | None:
        """How many chips it simulates, where the name of the library tells."""
        match = _CHIPS.match(Path(self.value).name) if self.simulates else None
        return int(match["chips"] or 1) if match else None

    @property
    def label(self) -> str:
        """The device in words: `Tenstorrent wormhole_b0, simulated by ttsim`."""
        return f"Tenstorrent {self.architecture or 'chip'}, {self.how}"


@dataclass(frozen=True)
class Lack:
    """Something without which a simulator does not start."""

    code: str
    message: str
    advice: str
    needed: bool = True  # without it nothing starts, or a kernel fails


def substitute(environment: Mapping[str, str] | None = None) -> Substitute | None:
    """What stands in for a board in this environment, or None."""
    environment = os.environ if environment is None else environment
    for variable, how in _HOW:
        if value := environment.get(variable):
            by = " by ttsim" if variable == SIMULATOR_VARIABLE and "ttsim" in Path(value).name else ""
            return Substitute(variable, value, how + by)
    return None


def is_substitute(device: str) -> bool:
    """Whether a device's description says that it was no board."""
    return any(f", {how}" in device for _, how in _HOW)


def lacking(found: Substitute, environment: Mapping[str, str] | None = None) -> list[Lack]:
    """What must be set and lie where before a simulated chip can be opened, as far as it does not."""
    environment = os.environ if environment is None else environment
    if not found.simulates:
        return []
    library = Path(found.value)
    lacks = []
    if not library.exists():
        lacks.append(
            Lack(
                "simulator-missing",
                f"{SIMULATOR_VARIABLE} names {library}, which does not exist.",
                "Download libttsim_wh.so or libttsim_bh.so from the releases of https://github.com/tenstorrent/ttsim "
                f"and set {SIMULATOR_VARIABLE} to its path.",
            )
        )
    elif library.is_file() and not (library.parent / DESCRIPTOR_NAME).is_file():
        source = _DESCRIPTORS.get(found.architecture or "", "the file for its chip")
        lacks.append(
            Lack(
                "simulator-descriptor-missing",
                f"There is no {DESCRIPTOR_NAME} beside {library}: ttnn cannot tell which chip this is.",
                f"Copy {source}, which ttnn or tt-metal has in tt_metal/soc_descriptors, to "
                f"{library.parent / DESCRIPTOR_NAME}.",
            )
        )
    for variable, code, why, needed in (
        (NO_MACRO_VARIABLE, "simulator-load-macros", "ttsim does not implement the instruction SFPLOADMACRO", True),
        (SLOW_DISPATCH_VARIABLE, "simulator-fast-dispatch", "ttsim's fast dispatch is not well tested", False),
    ):
        if environment.get(variable) != "1":
            lacks.append(Lack(code, f"{variable} is not 1, and {why}.", f"Set {variable}=1.", needed))
    return lacks
