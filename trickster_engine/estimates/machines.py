"""What machines can hold and how fast they can be at best, each figure with where it stands in its maker's own papers.

Peaks are for dense products of bfloat16 (or 16-bit floating point, where the maker gives no other) matrices summed in
32 bits. A peak is never reached; see `fitting.py` for what is made of it. Nothing here was measured by this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trickster_engine.system.machine import main_memory, nvidia_gpus

_GB = 10**9
_TERA = 10**12

_WORMHOLE = 'Tenstorrent, "Wormhole Tensix Processor: Specifications/Requirements", docs.tenstorrent.com/aibs/wormhole'
_LOUDBOX = 'Tenstorrent, "TT-LoudBox (T3000) Specifications", docs.tenstorrent.com/systems/t3000'
_GALAXY = 'Tenstorrent, "Galaxy TG-00002 Technical Specifications", docs.tenstorrent.com/systems/tenstorrent-galaxy'
_BLACKHOLE = 'Tenstorrent, "Blackhole PCIe Cards: Specifications", docs.tenstorrent.com/aibs/blackhole'
_QUIETBOX = 'Tenstorrent, "TT-QuietBox 2 Guide: The TT-Metal Architecture", docs.tenstorrent.com/tt-quietbox2-guide'
#: What tt-train reckons its share of the peak with, in TFLOPS of bfloat16 a core at 1.35 GHz.
_BLACKHOLE_CORE = 1.35
#: Of the 120 enabled cores of a p300's chip a program gets 110: the peak that what was measured on one compares with.
PEAK_OF_A_P300_PROGRAM = 110 * _BLACKHOLE_CORE * _TERA
_RECKONED = "1.35 TFLOPS BF16 a core, as tt-train reckons it"
_GA102 = 'NVIDIA, "Ampere GA102 GPU Architecture", appendix A'
_RTX_3060 = 'NVIDIA, "GeForce RTX 3060 Family", nvidia.com'
_ADA = 'NVIDIA, "Ada GPU Architecture", appendix A, table 2'
_BLACKWELL = 'NVIDIA, "RTX Blackwell GPU Architecture", comparison with the RTX 3090 and 4090'
_A100 = 'NVIDIA, "A100 Tensor Core GPU" datasheet'
_H100 = 'NVIDIA, "H100 Tensor Core GPU" datasheet'


@dataclass(frozen=True)
class Machine:
    """A board, a GPU or a computer."""

    name: str
    device_type: Literal["tt", "cuda", "cpu"]
    chips: int  # each holds the whole model, and a share of the batch
    memory: int | None  # bytes, of one chip
    peak: float | None  # operations a second, of one chip; None where nothing is known
    source: str  # of the figures above
    reported_as: tuple[str, ...] = ()  # what nvidia-smi calls it

    @property
    def paper(self) -> str:
        """The first of its sources, by maker and title."""
        return '"'.join([*self.source.split('"')[:2], ""]) if '"' in self.source else self.source

    @property
    def key(self) -> str:
        """What it is called on the command line."""
        return self.name.lower().replace(" ", "-")


MACHINES = (
    Machine("N150", "tt", 1, 12 * _GB, 74 * _TERA, f"{_WORMHOLE} (12 GB, 74 TFLOPS FP16)"),
    Machine("N300", "tt", 2, 12 * _GB, 65.5 * _TERA, f"{_WORMHOLE} (24 GB and 131 TFLOPS FP16 on two processors)"),
    Machine("T3K", "tt", 8, 12 * _GB, 65.5 * _TERA, f"{_LOUDBOX} (four n300s); {_WORMHOLE}"),
    Machine(
        "Galaxy",
        "tt",
        32,
        12 * _GB,
        81.9 * _TERA,
        f"{_GALAXY} (32 processors); {_WORMHOLE} (12 GB and up to 80 cores a processor; 131 TFLOPS FP16 on 128 cores)",
    ),
    Machine(
        "P100a",
        "tt",
        1,
        28 * _GB,
        120 * _BLACKHOLE_CORE * _TERA,
        f"{_BLACKHOLE} (28 GB, 120 cores at up to 1.35 GHz); {_RECKONED}",
    ),
    Machine(
        "P150",
        "tt",
        1,
        32 * _GB,
        140 * _BLACKHOLE_CORE * _TERA,
        f"{_BLACKHOLE} (p150a and p150b: 32 GB, 140 cores at up to 1.35 GHz); {_RECKONED}",
    ),
    Machine(
        "P300",
        "tt",
        2,
        32 * _GB,
        120 * _BLACKHOLE_CORE * _TERA,
        f"{_BLACKHOLE} (32 GB a processor); {_QUIETBOX} (120 cores of each are enabled); {_RECKONED}",
    ),
    Machine(
        "QuietBox 2",
        "tt",
        4,
        32 * _GB,
        120 * _BLACKHOLE_CORE * _TERA,
        f"{_QUIETBOX} (two p300, 120 cores of each processor enabled); {_BLACKHOLE} (32 GB a processor); {_RECKONED}",
    ),
    Machine(
        "Galaxy Blackhole",
        "tt",
        32,
        32 * _GB,
        120 * _BLACKHOLE_CORE * _TERA,
        f"{_BLACKHOLE} (32 GB a processor, of which it has thirty-two; reckoned with 120 cores each); {_RECKONED}",
    ),
    Machine(
        "RTX 3060 12GB",
        "cuda",
        1,
        12 * _GB,
        25.5 * _TERA,
        f"{_RTX_3060} (12 GB, 28 multiprocessors at 1.78 GHz), at the rate of the RTX 3090 (82 at 1.7 GHz,"
        f" {_GA102}; 71.2 TFLOPS BF16, {_BLACKWELL})",
        ("NVIDIA GeForce RTX 3060",),
    ),
    Machine(
        "RTX 3090",
        "cuda",
        1,
        24 * _GB,
        71.2 * _TERA,
        f"{_GA102} (24 GB); {_BLACKWELL} (71.2 TFLOPS BF16)",
        ("NVIDIA GeForce RTX 3090",),
    ),
    Machine(
        "RTX 4090",
        "cuda",
        1,
        24 * _GB,
        165.2 * _TERA,
        f"{_ADA} (24 GB, 165.2 TFLOPS BF16)",
        ("NVIDIA GeForce RTX 4090",),
    ),
    Machine(
        "RTX 5090",
        "cuda",
        1,
        32 * _GB,
        209.5 * _TERA,
        f"{_BLACKWELL} (32 GB, 209.5 TFLOPS BF16)",
        ("NVIDIA GeForce RTX 5090",),
    ),
    Machine(
        "A100 80GB",
        "cuda",
        1,
        80 * _GB,
        312 * _TERA,
        f"{_A100} (80 GB, 312 TFLOPS BF16)",
        ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe"),
    ),
    Machine(
        "H100 80GB",
        "cuda",
        1,
        80 * _GB,
        989.5 * _TERA,
        f"{_H100} (SXM: 80 GB; 1,979 TFLOPS BF16 with sparsity, half of it without)",
        ("NVIDIA H100 80GB HBM3",),
    ),
)
THIS_MACHINE = "this"


def machine_keys() -> list[str]:
    """Return what can be asked for by name."""
    return [THIS_MACHINE, *(machine.key for machine in MACHINES)]


def find_machine(key: str) -> Machine:
    """Return a machine by its key. Raises KeyError."""
    if key == THIS_MACHINE:
        return this_machine()
    return {machine.key: machine for machine in MACHINES}[key.lower()]


def this_machine() -> Machine:
    """Return what this machine would train on, as far as can be seen without torch: an NVIDIA GPU, or the processor."""
    gpus = nvidia_gpus()
    if not gpus:
        return this_processor()
    known = next((machine for machine in MACHINES if gpus[0].name in machine.reported_as), None)
    source = "nvidia-smi" + (f"; {known.source}" if known is not None else "")
    peak = known.peak if known is not None else None
    return Machine(f"This machine's {gpus[0].name}", "cuda", 1, gpus[0].memory, peak, source)


def this_processor() -> Machine:
    """Return this machine's processor and main memory, which is known at once."""
    return Machine("This machine's CPU", "cpu", 1, main_memory(), None, "the operating system's own count")
