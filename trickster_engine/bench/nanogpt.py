"""A nanoGPT checkout of the user's own, trained beside ours by its own recipe. None of its code is kept here.

Karpathy 2022, https://github.com/karpathy/nanoGPT. Its `model.py` is loaded from where the user points to; what its
`train.py` does around the model (batches at random places, AdamW, clipping, warm-up and cosine) is done here in the
same way, so that both sides are timed by one clock.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trickster_engine.backends.torch.cuda import to_device
from trickster_engine.backends.torch.losses import summed_cross_entropy
from trickster_engine.config.plan import ModelConfig, TrainingConfig
from trickster_engine.errors import TricksterError
from trickster_engine.estimates.learning_rate import learning_rate_factor


@dataclass(frozen=True)
class Recipe:
    """A recipe of nanoGPT's: the arguments of its model, and how it is trained. `eval_interval` is ours."""

    device: str
    shape: dict[str, int]
    dropout: float
    training: TrainingConfig


_TRAINING = TrainingConfig(
    gradient_accumulation_steps=1,
    warmup_steps=100,
    learning_rate=1e-3,
    min_learning_rate=1e-4,
    beta1=0.9,
    beta2=0.99,
    weight_decay=0.1,
    grad_clip=1.0,
)
#: What its README says for a computer without a GPU, on top of its `config/train_shakespeare_char.py`; measured every
#: twentieth of its run.
CPU_RECIPE = Recipe(
    "CPU",
    {"n_layer": 4, "n_head": 4, "n_embd": 128, "block_size": 64},
    0.0,
    replace(_TRAINING, batch_size=12, max_steps=2000, eval_interval=100),
)
#: `config/train_shakespeare_char.py` as it is, compiled and in bf16 as its `train.py` has it.
GPU_RECIPE = Recipe(
    "GPU",
    {"n_layer": 6, "n_head": 6, "n_embd": 384, "block_size": 256},
    0.2,
    replace(_TRAINING, batch_size=64, max_steps=5000, eval_interval=250),
)


def recipe_for(device: str) -> Recipe:
    """Its recipe for a kind of device."""
    return GPU_RECIPE if device == "cuda" else CPU_RECIPE


class NanoGPT:
    """Its model and optimizer on one device, in fp32 on a CPU and in bf16 and compiled on a GPU, as it would run."""

    def __init__(
        self,
        checkout: Path,
        shape: dict[str, int],
        vocab_size: int,
        training: TrainingConfig,
        device: torch.device,
        dropout: float = 0.0,
    ) -> None:
        """Raises TricksterError where `checkout` is no nanoGPT."""
        module = _load(checkout)
        self._training = training
        self._device = device
        self._length = shape["block_size"]
        torch.manual_seed(training.seed)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its parameter counts
            config = module.GPTConfig(vocab_size=vocab_size, dropout=dropout, bias=False, **shape)
            self.model = module.GPT(config).to(device)
            self._optimizer = self.model.configure_optimizers(
                training.weight_decay, training.learning_rate, (training.beta1, training.beta2), device.type
            )
        self._forward: Any = torch.compile(self.model) if device.type == "cuda" else self.model
        self._random = np.random.default_rng(training.seed)

    @property
    def parameters(self) -> int:
        """All of them, position embeddings included."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def prepare(self) -> None:
        """A forward and backward pass that leaves no trace in the weights: what is compiled, is compiled now."""
        self.model.train()
        tokens = torch.zeros(self._training.batch_size, self._length, dtype=torch.long, device=self._device)
        self._pass(tokens, tokens).item()
        self._optimizer.zero_grad(set_to_none=True)

    def update(self, tokens: NDArray[Any], step: int) -> Tensor:
        """One update on windows from random places of tokens [N]; returns the training loss in nats, on the device.

        As in its `train.py`, nobody waits for the device here.
        """
        self.model.train()
        for group in self._optimizer.param_groups:
            group["lr"] = self._training.learning_rate * learning_rate_factor(step, self._training)
        losses = []
        for _ in range(self._training.gradient_accumulation_steps):
            starts = self._random.integers(0, len(tokens) - self._length - 1, self._training.batch_size)
            x, y = (
                np.stack([tokens[s + ahead : s + ahead + self._length] for s in starts]).astype(np.int64)
                for ahead in (0, 1)
            )
            losses.append(self._pass(to_device(x, self._device), to_device(y, self._device)))
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._training.grad_clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return torch.stack(losses).sum()

    def _pass(self, x: Tensor, y: Tensor) -> Tensor:
        """Add the gradients of a batch [B, T] to those that are there; returns its share of the loss."""
        with self._autocast():
            part: Tensor = self._forward(x, y)[1]
        part = part / self._training.gradient_accumulation_steps
        torch.autograd.backward(part)
        return part.detach()

    @torch.no_grad()
    def evaluate(self, tokens: NDArray[Any], rows: int = 64) -> float:
        """Mean cross-entropy in nats over all tokens [N], in windows of its own context, as ours is measured."""
        self.model.eval()
        windows = (len(tokens) - 1) // self._length
        sums = []
        for first in range(0, windows, rows):
            begin, end = first * self._length, min(windows, first + rows) * self._length
            x, y = (
                torch.from_numpy(tokens[begin + ahead : end + ahead].astype(np.int64).reshape(-1, self._length))
                for ahead in (0, 1)
            )
            logits = self.model(x.to(self._device), y.to(self._device))[0]
            sums.append(summed_cross_entropy(logits, y.to(self._device)))
        return float(torch.stack(sums).sum()) / (windows * self._length)

    @torch.no_grad()
    def generate(self, prompt: list[int], count: int) -> None:
        """What its `sample.py` does for one sample of `count` tokens at temperature 0.8 and top-k 200."""
        self.model.eval()
        start: Tensor = torch.tensor([prompt], dtype=torch.long, device=self._device)
        with self._autocast():
            self.model.generate(start, count, temperature=0.8, top_k=200)

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        if self._device.type == "cuda":
            return torch.autocast("cuda", torch.bfloat16)
        return contextlib.nullcontext()


def same_shape(model: ModelConfig) -> dict[str, int]:
    """The arguments that give nanoGPT the depth, width, heads and context of a model of ours."""
    return {
        "n_layer": model.num_layers,
        "n_head": model.num_heads,
        "n_embd": model.hidden_dim,
        "block_size": model.max_seq_len,
    }


def _load(checkout: Path) -> ModuleType:
    path = checkout / "model.py"
    name = "nanogpt_checkout_model"
    spec = importlib.util.spec_from_file_location(name, path)
    try:
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # its dataclass looks its own module up
        spec.loader.exec_module(module)
        module.GPT, module.GPTConfig  # noqa: B018
    except (OSError, AttributeError, ImportError, SyntaxError) as error:
        raise TricksterError(
            "not-nanogpt",
            f"{checkout} is not a nanoGPT checkout: {error}.",
            "Clone github.com/karpathy/nanoGPT and give the folder with its model.py.",
        ) from error
    return module
