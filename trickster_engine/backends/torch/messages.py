"""What processes of one run say to each other, as bytes that carry values and never code.

torch's own way to send an object is pickle, which runs what it is sent. These are JSON, with a form of their own for
paths and arrays.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

_PATH, _ARRAY = "path", "array"


def encode(value: Any) -> bytes:
    """The value as bytes. Raises TypeError for what is neither plain JSON, nor a path, nor an array of numbers."""
    return json.dumps(value, default=_in_words).encode("ascii")


def decode(data: bytes) -> Any:
    """The value that `encode` was given; tuples come back as lists. Raises ValueError."""
    return json.loads(data, object_hook=_from_words)


def _in_words(value: object) -> dict[str, Any]:
    if isinstance(value, Path):
        return {_PATH: str(value), "": True}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        words = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode("ascii")
        return {_ARRAY: words, "type": value.dtype.str, "shape": list(value.shape), "": True}
    raise TypeError(f"{type(value).__name__} cannot be sent to other processes")


def _from_words(value: dict[str, Any]) -> Any:
    if value.get("") is not True:
        return value
    if _PATH in value:
        return Path(value[_PATH])
    kind = np.dtype(value["type"])
    if kind.kind not in "biuf":
        raise ValueError(f"an array of {kind} was not expected")
    return np.frombuffer(base64.b64decode(value[_ARRAY]), kind).reshape(value["shape"]).copy()
