"""Several Tenstorrent chips as one line: what must hold before a mesh is opened, because the failure is a hang.

tt-metal reads the wiring from a mesh graph descriptor. It has built-in ones for 8 and 32 chips only, and it does not
notice a descriptor of another shape than the mesh that is opened: the second step never returns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.files import read_bytes

DESCRIPTOR_VARIABLE = "TT_MESH_GRAPH_DESC_PATH"

#: Numbers of chips that tt-metal knows how to wire without a descriptor.
BUILT_IN = (8, 32)

_DIMENSIONS = re.compile(r"device_topology\s*\{[^}]*\bdims\s*:\s*\[\s*([\d\s,]+)\]")
_DIMENSION_TYPES = re.compile(r"device_topology\s*\{[^}]*\bdim_types\s*:\s*\[\s*([A-Z_,\s]+)\]")


def check_mesh(plan: Plan, environment: Mapping[str, str] | None = None) -> int:
    """The number of chips of a plan. Raises TricksterError for a mesh that cannot be opened, or would hang."""
    environment = os.environ if environment is None else environment
    rows, chips = plan.device.mesh_shape
    if rows != 1:
        raise TricksterError(
            "mesh-not-a-line",
            f"mesh_shape [{rows}, {chips}] is not a line of chips. Data-parallel training in ttml runs on [1, N] only.",
            f"Set device_config.mesh_shape: [1, {rows * chips}].",
        )
    if chips == 1:
        return 1
    if not plan.device.enable_ddp:
        raise TricksterError(
            "mesh-without-ddp",
            f"mesh_shape [1, {chips}] asks for {chips} chips, but enable_ddp is false: the others would do nothing.",
            "Set device_config.enable_ddp: true, or mesh_shape: [1, 1].",
        )
    if plan.training.batch_size % chips:
        raise TricksterError(
            "batch-not-divisible",
            f"batch_size {plan.training.batch_size} is the total over {chips} chips and cannot be divided among them.",
            f"Set training_config.batch_size to a multiple of {chips}, "
            f"for instance {-(-plan.training.batch_size // chips) * chips}.",
        )
    _check_descriptor(chips, environment)
    return chips


def descriptor_shape(text: str) -> tuple[int, ...] | None:
    """The dimensions that a descriptor declares, or None where it describes several meshes or none that we can read."""
    if text.count("mesh_descriptors {") > 1:
        return None
    match = _DIMENSIONS.search(text)
    return tuple(int(number) for number in match.group(1).replace(",", " ").split()) if match else None


def matching_descriptors(metal_home: str | None, chips: int) -> list[Path]:
    """Descriptors in a tt-metal tree that declare [1, chips]."""
    if not metal_home:
        return []
    found = sorted((Path(metal_home) / "tt-train/configs/mgd").glob("*.textproto"))
    return [path for path in found if descriptor_shape(_read(path)) == (1, chips)]


def _check_descriptor(chips: int, environment: Mapping[str, str]) -> None:
    named = environment.get(DESCRIPTOR_VARIABLE)
    advice = _advice(chips, environment)
    if not named:
        if chips in BUILT_IN:
            return
        raise TricksterError(
            "mesh-descriptor-missing",
            f"{chips} chips need a mesh graph descriptor: tt-metal has built-in ones for 8 and 32 only, "
            "and hangs without one.",
            advice,
        )
    text = _read(Path(named))
    if not text:
        raise TricksterError(
            "mesh-descriptor-unreadable", f"{DESCRIPTOR_VARIABLE} names {named}, which cannot be read.", advice
        )
    shape = descriptor_shape(text)
    if shape is not None and shape != (1, chips):
        raise TricksterError(
            "mesh-descriptor-mismatch",
            f"{named} declares dims {list(shape)}, and the run opens [1, {chips}]. tt-metal does not notice: "
            "the second training step would hang.",
            advice,
        )
    kinds = _DIMENSION_TYPES.search(text)
    if kinds and kinds.group(1).replace(",", " ").split()[-1] != "RING":
        raise TricksterError(
            "mesh-descriptor-not-a-ring",
            f"{named} wires the data-parallel axis as {kinds.group(1).replace(',', ' ').split()[-1]}; "
            "ttml averages gradients around a RING.",
            advice,
        )


def _advice(chips: int, environment: Mapping[str, str]) -> str:
    candidates = matching_descriptors(environment.get("TT_METAL_HOME"), chips)
    if candidates:
        return f"Set {DESCRIPTOR_VARIABLE} to one made for your board, for instance {candidates[0]}, and start again."
    return (
        f"Set {DESCRIPTOR_VARIABLE} to a .textproto file whose device_topology has dims: [ 1, {chips} ] and dim_types "
        "RING (tt-metal keeps some in tt-train/configs/mgd), or train on one chip with mesh_shape: [1, 1] and "
        "enable_ddp: false."
    )


def _read(path: Path) -> str:
    try:
        return read_bytes(path, follow_links=True).decode("utf-8", "replace")
    except OSError:
        return ""
