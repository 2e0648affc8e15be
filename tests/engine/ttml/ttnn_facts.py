"""What a ttnn says of itself, as one JSON object: run by the Python that has it, the real one's or the double's.

    PYTHON tests/engine/ttml/ttnn_facts.py NAME …

Needs nothing but ttnn and numpy. Names are dotted, from `ttnn.` on.
"""

import json
import sys
from typing import Any

ENUMS = {"DataType": ("BFLOAT16", "FLOAT32", "UINT32", "INT32", "BFLOAT8_B"), "Layout": ("ROW_MAJOR", "TILE")}


def main() -> None:
    import ttnn

    names = dict.fromkeys(sys.argv[1:], True)
    for name in names:
        found: Any = ttnn
        try:
            for part in name.split(".")[1:]:
                found = getattr(found, part)
        except AttributeError:
            names[name] = False
    enums = {}
    for kind, members in ENUMS.items():
        for member in members:
            one = getattr(getattr(ttnn, kind), member)
            enums[f"{kind}.{member}"] = [str(one), int(one.value)]
    facts: dict[str, object] = {"names": names, "enums": enums}
    facts["parameters"] = {name: parameters(ttnn, name) for name, there in names.items() if there}
    facts["dtype"] = type(ttnn.Tensor.__dict__["dtype"]).__name__
    facts["arch"] = str(ttnn.get_arch_name())
    try:
        facts["devices"] = int(ttnn.GetNumAvailableDevices())
    except Exception as error:
        facts["devices"] = type(error).__name__
    facts["version"] = version()
    facts["rounded"] = rounded(ttnn)
    print(json.dumps(facts), file=answer)


def parameters(ttnn: Any, name: str) -> "list[str] | None":
    """What a function takes, by its signature or by its own documentation; None for what is no function."""
    import inspect
    import re

    function = ttnn
    for part in name.split(".")[1:]:
        function = getattr(function, part)
    if isinstance(function, type) or not callable(function):
        return None
    text = function.__doc__ or ""
    bound = re.match(r"\w+\((.*?)\) -> ", text)  # nanobind writes the signature first
    if bound:
        return re.findall(r"(\w+): ", bound[1])
    documented = re.findall(r"^ +(\w+) \([^)]*\): ", text, re.MULTILINE)
    return documented or list(inspect.signature(function).parameters)


def version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("ttnn")
    except importlib.metadata.PackageNotFoundError:
        return ""


def rounded(ttnn: Any) -> "list[float]":
    """What host rounding to bfloat16 makes of values around a tie, as float32 again."""
    values = [1 + 2**-8, 1 + 3 * 2**-8, 1.001, -3.14159, 1e-3, 65504.0, 0.1]
    if hasattr(ttnn, "bf16"):  # the double's
        import torch

        return [float(value) for value in ttnn.bf16(torch.tensor(values))]
    import numpy as np

    tensor = ttnn.Tensor(np.array([values], dtype=np.float32), ttnn.DataType.FLOAT32)
    for kind in (ttnn.DataType.BFLOAT16, ttnn.DataType.FLOAT32):
        tensor = ttnn.to_dtype(tensor, kind)
    return [float(value) for value in np.asarray(tensor.to_numpy()).reshape(-1)]


if __name__ == "__main__":
    import os

    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main()
    answer.flush()
    os._exit(0)
