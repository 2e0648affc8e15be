"""A model as ONNX: `model.onnx` takes `input_ids` [B, T] and gives `logits` [B, T, V], beside its tokenizer."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trickster_engine.backends.torch.compilation import silent_loggers
from trickster_engine.config.llama_file import CONFIG_FILE
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import with_weights
from trickster_engine.interop.export_source import Predict, Source, Weights, copy_beside, package
from trickster_engine.model.llama import Llama

MODEL_FILE = "model.onnx"
_REQUIREMENTS = {"onnx": "onnx>=1.17,<2", "onnxscript": "onnxscript>=0.5,<1", "onnxruntime": "onnxruntime>=1.20,<2"}


class _Logits(nn.Module):
    """The model without a cache, as a function of its tokens alone."""

    def __init__(self, model: Llama) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        """input_ids [B, T] -> [B, T, V]."""
        logits: Tensor = self.model(input_ids)
        return logits


def write(source: Source, target: Path, precision: str) -> tuple[Predict, Weights]:
    """Write a folder with an ONNX model and return what onnxruntime predicts with it, and the numbers it holds."""
    packages = {name: package(name, requirement, "ONNX") for name, requirement in _REQUIREMENTS.items()}
    if precision != "fp32":
        raise TricksterError(
            "export-not-possible",
            f"An ONNX model is written in fp32, not in {precision}.",
            "Leave --dtype out; onnxruntime's own tools make smaller models of it.",
        )
    sizes = {
        0: torch.export.Dim("batch", min=1, max=1024),
        1: torch.export.Dim("length", min=2, max=source.config.max_seq_len),
    }
    tokens = torch.zeros((2, min(8, source.config.max_seq_len)), dtype=torch.long)
    target.mkdir(parents=True)
    copy_beside(source.folder, target)
    shutil.copyfile(source.folder / CONFIG_FILE, target / CONFIG_FILE)
    with warnings.catch_warnings(), silent_loggers(("torch.onnx",)), torch.no_grad():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            _Logits(with_weights(source.config, source.weights)).eval(),
            (tokens,),
            dynamo=True,
            verbose=False,
            input_names=["input_ids"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": sizes},
        )
    program.save(str(target / MODEL_FILE))
    session = packages["onnxruntime"].InferenceSession(str(target / MODEL_FILE), providers=["CPUExecutionProvider"])

    def predict(ids: Sequence[int]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(["logits"], {"input_ids": np.array([ids], np.int64)})[0][0, -1]
        return logits

    return predict, source.weights
