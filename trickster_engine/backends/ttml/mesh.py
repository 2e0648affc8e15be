"""Several Tenstorrent chips as one line: what must hold before a mesh is opened, because the failure is a hang.

tt-metal reads the wiring from a mesh graph descriptor, and it does not notice one of another shape than the mesh that
is opened: the second step never returns. Without one named it takes a default for 8 and 32 chips, which is [2, 4] and
[8, 4], and hangs for other numbers. So every line of chips needs a descriptor of exactly its shape.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from trickster_engine.backends.ttml.package import HOME_VARIABLE, RUNTIME_ROOT_VARIABLE, metal_home, ttnn_folder
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_bytes

DESCRIPTOR_VARIABLE = "TT_MESH_GRAPH_DESC_PATH"
PATTERN = "*.textproto"

#: Where descriptors lie: in tt-metal's tree, in ttnn's package, and in tt-train's part of the tree.
DESCRIPTOR_FOLDERS = ("tt_metal/fabric/mesh_graph_descriptors", "tt-train/configs/mgd")

#: What tt-metal takes for some numbers of chips where nothing is named.
_DEFAULTS = {8: "[2, 4]", 32: "[8, 4]"}
_COMMENT = re.compile(r"#[^\n]*")
_MESHES = re.compile(r"\bmesh_descriptors\s*:?\s*\{")
_DIMENSIONS = re.compile(r"\bdevice_topology\s*:?\s*\{[^}]*\bdims\s*:\s*\[\s*([\d\s,]+)\]")


def check_mesh(plan: Plan, environment: Mapping[str, str] | None = None) -> int:
    """The number of chips of a plan that `check_rules` has passed. Raises TricksterError for a mesh that would hang."""
    _, chips = plan.device.mesh_shape
    if chips > 1:
        _check_descriptor(chips, os.environ if environment is None else environment)
    return chips


def descriptor_shape(text: str) -> tuple[int, ...] | None:
    """The dimensions that a descriptor declares, or None where it describes several meshes or none that we can read."""
    plain = _COMMENT.sub("", text)
    if len(_MESHES.findall(plain)) > 1:
        return None
    match = _DIMENSIONS.search(plain)
    return tuple(int(number) for number in match.group(1).replace(",", " ").split()) if match else None


def matching_descriptors(roots: Iterable[Path], chips: int) -> list[Path]:
    """Descriptors below tt-metal trees, or packages of ttnn, that declare [1, chips]."""
    found = [path for root in roots for folder in DESCRIPTOR_FOLDERS for path in sorted((root / folder).glob(PATTERN))]
    return [path for path in found if descriptor_shape(_read(path)) == (1, chips)]


def _check_descriptor(chips: int, environment: Mapping[str, str]) -> None:
    named = environment.get(DESCRIPTOR_VARIABLE)
    advice = _advice(chips, environment)
    if not named:
        instead = f"uses one of {_DEFAULTS[chips]} instead" if chips in _DEFAULTS else "has none for this number"
        raise TricksterError(
            "mesh-descriptor-missing",
            f"{chips} chips in a line need a mesh graph descriptor of [1, {chips}]: without one tt-metal {instead}, "
            "and training hangs.",
            advice,
        )
    text = _read(Path(named))
    if not text:
        raise TricksterError(
            "mesh-descriptor-unreadable", f"{DESCRIPTOR_VARIABLE} names {named}, which cannot be read.", advice
        )
    shape = descriptor_shape(text)
    if shape is None:
        raise TricksterError(
            "mesh-descriptor-not-one-mesh",
            f"{named} does not describe one mesh with its dims, so Trickster cannot tell whether it is [1, {chips}].",
            advice,
        )
    if shape != (1, chips):
        raise TricksterError(
            "mesh-descriptor-mismatch",
            f"{named} declares dims {list(shape)}, and the run opens [1, {chips}]. tt-metal does not notice: "
            "the second training step would hang.",
            advice,
        )


def _advice(chips: int, environment: Mapping[str, str]) -> str:
    candidates = matching_descriptors(_roots(environment), chips)
    if candidates:
        others = f" ({len(candidates) - 1} more fit: {', '.join(path.name for path in candidates[1:4])})"
        return (
            f"Set {DESCRIPTOR_VARIABLE} to one made for your board, for instance {candidates[0]}"
            f"{others if len(candidates) > 1 else ''}, and start again."
        )
    return (
        f"Set {DESCRIPTOR_VARIABLE} to a .textproto file whose device_topology has dims: [ 1, {chips} ], made for your "
        f"board (tt-metal keeps some in {' and '.join(DESCRIPTOR_FOLDERS)}), or train on one chip with "
        "mesh_shape: [1, 1] and enable_ddp: false."
    )


def _roots(environment: Mapping[str, str]) -> list[Path]:
    """tt-metal's tree, and ttnn's package, which carries tt-metal's part of one."""
    roots = [Path(home) for name in (HOME_VARIABLE, RUNTIME_ROOT_VARIABLE) if (home := environment.get(name))]
    roots += [folder for folder in (metal_home(), ttnn_folder()) if folder is not None]
    return list(dict.fromkeys(roots))


def _read(path: Path) -> str:
    try:
        return read_bytes(path, follow_links=True).decode("utf-8", "replace")
    except OSError:
        return ""
