"""What the writers of `trickster export` share: the model to write, its rounding, and our own model to compare with."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trickster_engine.config.plan import ModelConfig
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import with_weights
from trickster_engine.system.files import in_command

Kind = Literal["folder", "gguf", "onnx"]
Precision = Literal["fp32", "bf16", "fp16"]
Weights = Mapping[str, NDArray[np.float32]]
#: Logits [V] of what follows tokens [T].
Predict = Callable[[Sequence[int]], NDArray[np.float32]]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_COPIED = ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "README.md")


@dataclass(frozen=True)
class Source:
    """A model to export, in full precision."""

    folder: Path
    config: ModelConfig
    weights: Weights
    tokenizer: Tokenizer


def rounded(array: NDArray[np.float32], precision: str) -> NDArray[np.float32]:
    """Numbers as they come back from a precision."""
    numbers: NDArray[np.float32] = torch.from_numpy(array).to(DTYPES[precision]).float().numpy()
    return numbers


def package(name: str, requirement: str, purpose: str) -> Any:
    """An optional package. Raises TricksterError `export-needs-package` with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise TricksterError(
            "export-needs-package",
            f"{purpose} needs the package {name}, which this Python does not have.",
            f'Install it: {in_command(sys.executable)} -m pip install "{requirement}"',
        ) from error


def predictor(config: ModelConfig, weights: Weights) -> Predict:
    """Our own model with these weights."""
    model = with_weights(config, weights)

    @torch.no_grad()
    def predict(ids: Sequence[int]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = model(torch.tensor([list(ids)]))[0, -1].numpy()
        return logits

    return predict


def copy_beside(source: Path, target: Path) -> None:
    """Copy what goes with the weights: tokenizer, generation config, model card."""
    for name in _COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
