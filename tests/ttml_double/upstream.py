"""tt-metal's own Python Llama, from a checkout of yours, over the operations of the double.

    TRICKSTER_TT_METAL=~/tt-metal python -m tests.ttml_double.upstream

Reads `tt-train/sources/ttml/ttml/models/llama` of the checkout and nothing else; nothing of it is copied. Trickster
makes the model, uploads weights into it by the names and shapes that it has, and compares its logits and an update with
torch's. This shows that names and layout are understood, and says nothing about a board.
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
from typing import Any

from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.ttml.backend import TtmlBackend
from trickster_engine.config.plan import DeviceConfig, ModelConfig, Plan, TrainingConfig
from trickster_engine.doctor.parity import TOLERANCE, relative_error, some_tokens, telling_weights, torch_logits

VARIABLE = "TRICKSTER_TT_METAL"
MODEL_FOLDER = "tt-train/sources/ttml/ttml/models/llama"
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
    models.EmbeddingParallelType = _Choices("EmbeddingParallelType")
    _module("ttml.parallel", TPStrategy=_Choices("TPStrategy"))
    _module("_ttml", models=_module("_ttml.models", llama=ours), modules=ttml.modules)
    sys.modules["_ttml.models.llama"] = ours
    sys.modules["_ttml.modules"] = ttml.modules
    for path in folder.glob("*.py"):
        if path.stem not in (*_MODEL_FILES, "__init__"):
            sys.modules[f"ttml.models.llama.{path.stem}"] = _Unused(f"ttml.models.llama.{path.stem}")
    spec = importlib.util.spec_from_file_location(
        "ttml.models.llama", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ttml.models.llama"] = models.llama = module
    spec.loader.exec_module(module)


def compared(changes: dict[str, Any]) -> tuple[float, float]:
    """How far logits are from torch's as a share of their size, and the loss of one update from torch's, in nats."""
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
        apart = abs(backend.step([batch], 1.0).loss - reference.step([batch], 1.0).loss)
    finally:
        backend.close()
    return error, apart


def main() -> int:
    """Compare every config, and say how each came out."""
    checkout = os.environ.get(VARIABLE)
    if not checkout:
        sys.exit(f"Set {VARIABLE} to a tt-metal checkout.")
    os.environ.setdefault("TTML_DOUBLE", json.dumps({}))
    install(Path(checkout).expanduser())
    worst = 0.0
    for name, changes in CONFIGS.items():
        error, apart = compared(changes)
        worst = max(worst, error)
        print(f"{name:20} logits within {error:.2%} of torch's, the loss of an update within {apart:.3f} nats")
    print("Understood." if worst <= TOLERANCE else "NOT understood: names or layout have changed.")
    return 0 if worst <= TOLERANCE else 1


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


class _Unused(types.ModuleType):
    """A file of the checkout that is imported by the model's and not needed by it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return enum.Enum(name, {"UNUSED": 0})


if __name__ == "__main__":
    sys.exit(main())
