"""The optimizer's memory between ttml's names and layout and the canonical ones, as torch's AdamW and Muon keep it.

So a run that began on a board goes on on a CPU with its moments, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.backends.base import Arrays
from trickster_engine.backends.ttml.weights import TtmlLayout

#: AdamW's moments are called alike in ttml and in torch, and so is Muon's one.
MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")


def to_canonical(states: list[dict[str, Any]], layout: TtmlLayout) -> Arrays:
    """`<kind>/<weight name>` -> array, with AdamW's step counter for each weight as torch has it."""
    arrays: Arrays = {}
    for state in states:
        for kind in MOMENTS:
            if kind in state:
                for name, array in _spread(state[kind], layout).items():
                    arrays[f"{kind}/{name}"] = array
                    if kind == "exp_avg":
                        arrays[f"step/{name}"] = np.array(float(state["steps"]), dtype=np.float32)
    return arrays


def from_canonical(
    arrays: Arrays, layout: TtmlLayout, live: list[dict[str, Any]], weights: Mapping[str, NDArray[np.float32]]
) -> list[dict[str, Any]]:
    """What each live optimizer should hold, given canonical arrays. Empty where something it needs is not there."""
    if not arrays:
        return []
    states: list[dict[str, Any]] = []
    for current in live:
        state = dict(current)
        for kind, value in current.items():
            if not isinstance(value, dict):
                continue
            source = weights if kind == "master_weights" else _of_kind(arrays, kind)
            gathered = _gather(source, layout, set(value))
            if gathered is None:
                return []
            state[kind] = gathered
        state["steps"] = steps_of(arrays)
        states.append(state)
    return states


def steps_of(arrays: Arrays) -> int:
    """How many updates canonical optimizer arrays have seen."""
    return int(max((array.reshape(-1)[0] for key, array in arrays.items() if key.startswith("step/")), default=0))


def _spread(tensors: Mapping[str, NDArray[np.float32]], layout: TtmlLayout) -> dict[str, NDArray[np.float32]]:
    """ttml's tensors, perhaps only some of the model's, as canonical weights."""
    filled = {slot.name: tensors.get(slot.name, np.zeros(slot.shape, dtype=np.float32)) for slot in layout.slots}
    held = {part for slot in layout.slots if slot.name in tensors for part in slot.parts}
    return {name: array for name, array in layout.from_ttml(filled).items() if name in held}


def _gather(
    source: Mapping[str, NDArray[Any]], layout: TtmlLayout, wanted: set[str]
) -> dict[str, NDArray[np.float32]] | None:
    """ttml's tensors called `wanted` from canonical weights; None where one is missing."""
    slots = [slot for slot in layout.slots if slot.name in wanted]
    if any(part not in source for slot in slots for part in slot.parts):
        return None
    return layout.to_ttml(source, wanted)


def _of_kind(arrays: Arrays, kind: str) -> dict[str, NDArray[Any]]:
    return {key.split("/", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{kind}/")}
