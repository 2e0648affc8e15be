"""tt-metal's own Python Llama, from a checkout of yours, over the operations of the double.

    TRICKSTER_TT_METAL=~/tt-metal python -m tests.ttml_double.upstream

Reads `models/llama` and `parallel.py` of the checkout's `tt-train/sources/ttml/ttml` and nothing else; nothing of them
is copied. Trickster makes the model, uploads weights into it by the names and shapes that it has, and compares its
logits, the loss of an update and its gradient with torch's. This shows that names and layout are understood, and says
nothing about a board.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.config.plan import DeviceConfig, ModelConfig, Plan, TrainingConfig
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits

VARIABLE = "TRICKSTER_TT_METAL"
PACKAGE_FOLDER = "tt-train/sources/ttml/ttml"
MODEL_FOLDER = f"{PACKAGE_FOLDER}/models/llama"
#: Files of the model itself. What else lies there loads and exports, and is not asked for anything.
_MODEL_FILES = ("transformer", "gqattn", "embedding")
BASE = ModelConfig(
    vocab_size=64, hidden_dim=128, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=96, max_seq_len=32, dropout=0.0,
    rope_theta=500.0,
)  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "tied": {},
    "untied": {"tie_embeddings": False},
    "one key/value head": {"num_kv_heads": 1},
    "all key/value heads": {"num_kv_heads": 4},
    "wide heads": {"num_heads": 2},
    "other rotation": {"rope_theta": 10000.0},
    "one layer": {"num_layers": 1},
    "longer": {"max_seq_len": 64, "vocab_size": 96},
}


def install(checkout: Path) -> None:
    """Put the double in place, and the checkout's Llama into it."""
    folder = checkout / MODEL_FOLDER
    if not (folder / "__init__.py").is_file():
        sys.exit(f"{checkout} is no tt-metal tree with a Python Llama: it has no {MODEL_FOLDER}/__init__.py.")
    double = str(Path(__file__).parent / "packages")
    if double not in sys.path:
        sys.path.insert(0, double)
    ttml: Any = importlib.import_module("ttml")
    for name in ("modules", "init"):
        importlib.import_module(f"ttml.{name}")
    ours = sys.modules["ttml.models.llama"]
    models = ttml.models
    models.memory_efficient_runner = lambda run, *arguments: run(*arguments)
    models.__getattr__ = _choices  # how an embedding is dealt among chips: its name has changed
    if (folder.parents[1] / "parallel.py").is_file():
        _load("ttml.parallel", folder.parents[1] / "parallel.py")
    else:
        _module("ttml.parallel", __getattr__=_choices)
    _module("_ttml", models=_module("_ttml.models", llama=ours), modules=ttml.modules)
    sys.modules["_ttml.models.llama"] = ours
    sys.modules["_ttml.modules"] = ttml.modules
    for path in folder.glob("*.py"):
        if path.stem not in (*_MODEL_FILES, "__init__"):
            sys.modules[f"ttml.models.llama.{path.stem}"] = _Unused(f"ttml.models.llama.{path.stem}")
    models.llama = _load("ttml.models.llama", folder / "__init__.py", [str(folder)])


class Distances(NamedTuple):
    """How far the model is from torch's."""

    logits: float  # root mean square, as a share of their size
    loss: float  # of one update, in nats
    gradient: float  # its norm, as a share of it


def compared(changes: dict[str, Any]) -> Distances:
    """Compare one config with torch."""
    model = dataclasses.replace(BASE, **changes)
    training = TrainingConfig(batch_size=4, gradient_accumulation_steps=1, max_steps=10, warmup_steps=0)
    plan = Plan(model=model, training=training, device=DeviceConfig("tt"))
    weights, tokens = telling_weights(model), some_tokens(model, 4)
    backend = TtmlBackend(plan, report=lambda _: None)
    try:
        backend.load(weights, {}, {})
        error = relative_error(backend.logits(tokens), torch_logits(model, weights, tokens))
        reference = TorchBackend(plan, "cpu", "fp32")
        reference.load(weights, {}, {})
        batch = (tokens, (tokens + 1) % model.vocab_size)
        update, wanted = backend.step([batch], 1.0), reference.step([batch], 1.0)
    finally:
        backend.close()
    return Distances(error, abs(update.loss - wanted.loss), abs(update.grad_norm / wanted.grad_norm - 1.0))


def main() -> int:
    """Compare every config, and say how each came out."""
    checkout = os.environ.get(VARIABLE)
    if not checkout:
        sys.exit(f"Set {VARIABLE} to a tt-metal checkout.")
    os.environ.setdefault("TTML_DOUBLE", json.dumps({}))
    install(Path(checkout).expanduser())
    worst = 0.0
    for name, changes in CONFIGS.items():
        found = compared(changes)
        worst = max(worst, found.logits, found.gradient)
        print(
            f"{name:20} logits within {found.logits:.2%} of torch's, "
            f"an update's loss within {found.loss:.3f} nats and its gradient within {found.gradient:.1%}"
        )
    print("Understood." if worst <= TOLERANCE else "NOT understood: names or layout have changed.")
    return 0 if worst <= TOLERANCE else 1


def _load(name: str, file: Path, folders: list[str] | None = None) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _module(name: str, **members: Any) -> types.ModuleType:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    return module


class _Choices:
    """An enumeration of which only the member that means `not in parallel` is ever asked anything."""

    tensor_parallel = sequence_parallel = False

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _Choices:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __hash__(self) -> int:
        return hash(self._name)


def _choices(name: str) -> _Choices:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Choices(name)


class _Unused(types.ModuleType):
    """A file of the checkout that is imported by the model's and not needed by it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return enum.Enum(name, {"UNUSED": 0})


if __name__ == "__main__":
    sys.exit(main())
