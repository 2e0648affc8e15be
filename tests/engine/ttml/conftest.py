"""The double of ttml, in the variant that a test asks for. It proves the adapter's logic and nothing about silicon."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

DOUBLE = Path(__file__).parents[2] / "ttml_double"

#: The build that tests run on where they ask for nothing else: `make test-ttml` runs all of them on several.
BUILD: dict[str, Any] = json.loads(os.environ.get("TRICKSTER_TTML_BUILD", "{}"))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The models here are so small that threads cost more than they give."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("ttml", "ttnn")]:
        del sys.modules[name]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., ModuleType]]:
    """`double(**variant)` puts the double in place and returns its `ttml`. At the end the device must be closed."""
    for name in ("TT_MESH_GRAPH_DESC_PATH", "TT_METAL_HOME", "TT_METAL_SIMULATOR", "TT_METAL_RUNTIME_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TT_LOGGER_LEVEL", "LOGURU_LEVEL", "TT_METAL_ARCH_NAME", "TT_METAL_RUNTIME_ROOT", "TT_METAL_HOME"):
        # Whatever the backend sets is taken back with the rest.
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.syspath_prepend(DOUBLE / "packages")
    contexts: list[Any] = []

    def install(**variant: Any) -> ModuleType:
        forget_modules()
        monkeypatch.setenv("TTML_DOUBLE", json.dumps({**BUILD, **variant}))
        ttml = importlib.import_module("ttml")
        contexts.append(sys.modules["ttml._runtime"].context())
        return ttml

    yield install
    left_open = [context for context in contexts if context._device is not None]
    forget_modules()
    assert not left_open, "the device was left open"
