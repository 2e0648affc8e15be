"""Arrays as they are sent: the bytes of their numbers in base64."""

from __future__ import annotations

import base64
from typing import Any, Literal

import numpy as np
from torch import Tensor

_STORED = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}


def packed(values: Tensor, kind: Literal["uint8", "int32", "float32"]) -> dict[str, Any]:
    """An array in the order of the last axis first, little-endian, with its shape."""
    array = np.ascontiguousarray(values.detach().cpu().numpy()).astype(_STORED[kind])
    return {"shape": list(array.shape), "type": kind, "data": base64.b64encode(array.tobytes()).decode("ascii")}


def unpacked(sent: dict[str, Any]) -> Any:
    """The array that was packed."""
    return np.frombuffer(base64.b64decode(sent["data"]), _STORED[sent["type"]]).reshape(sent["shape"])
