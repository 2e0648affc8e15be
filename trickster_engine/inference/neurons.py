"""What excites one neuron of an MLP: the places of a text where it is most active, and what it then says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.inference.activations import blocks_of, hooked
from trickster_engine.model.llama import Llama

#: Tokens of a text that are read, and how many at once.
SEARCHED_TOKENS = 4096
_WINDOW, _AT_ONCE = 128, 8
#: Tokens of a context before and after the one that it is about.
_BEFORE, _AFTER = 40, 15


@dataclass(frozen=True)
class Context:
    """A place in a text, and the neuron's activation there: silu(gate) * up."""

    before: str
    token: str
    after: str
    activation: float


class _Enough(Exception):
    """What was wanted has been computed; the rest of the model need not be."""


class Excitement:
    """The activations of one layer's neurons over windows of a text."""

    def __init__(self, model: Llama, tokenizer: Tokenizer, layer: int, tokens: NDArray[Any]) -> None:
        """`tokens` is cut into windows, and of many of them a sample is read, spread evenly. At least one token."""
        self._tokenizer = tokenizer
        length = min(_WINDOW, model.config.max_seq_len, len(tokens))
        starts = np.arange(len(tokens) // length) * length
        if len(starts) > (most := max(1, SEARCHED_TOKENS // length)):
            starts = starts[np.linspace(0, len(starts) - 1, most).astype(int)]
        self._windows = np.stack([np.asarray(tokens[start : start + length], np.int64) for start in starts])
        self._activations = _read(model, layer, torch.from_numpy(self._windows))

    @property
    def tokens(self) -> int:
        """Tokens that were read."""
        return int(self._windows.size)

    def figures(self, neuron: int) -> tuple[float, float]:
        """A neuron's mean activation and its standard deviation."""
        values = self._activations[..., neuron]
        return float(values.mean()), float(values.std(correction=0))

    def contexts(self, neuron: int, count: int, *, highest: bool) -> list[Context]:
        """The places where a neuron is most active, or most negative; in each window its strongest one."""
        values = self._activations[..., neuron]
        strongest, place = values.max(dim=1) if highest else values.min(dim=1)
        order = strongest.argsort(descending=highest, stable=True)[:count]
        return [self._context(int(row), int(place[row]), float(strongest[row])) for row in order]

    def _context(self, row: int, at: int, activation: float) -> Context:
        window, decode = self._windows[row], partial(self._text, row)
        return Context(
            decode(max(0, at - _BEFORE), at),
            self._tokenizer.piece(int(window[at])),
            decode(at + 1, min(len(window), at + 1 + _AFTER)),
            activation,
        )

    def _text(self, row: int, start: int, end: int) -> str:
        window = self._windows[row]
        return self._tokenizer.decode_after([int(token) for token in window[:start]], map(int, window[start:end]))


@torch.no_grad()
def _read(model: Llama, layer: int, windows: Tensor) -> Tensor:
    """Activations [windows, T, M] of a layer for tokens [windows, T]."""
    found: list[Tensor] = []

    def take(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0].float().cpu())
        raise _Enough

    handle = blocks_of(model)[layer].mlp.down_proj.register_forward_pre_hook(take)
    with hooked([handle]):
        for some in torch.split(windows, _AT_ONCE):
            try:
                model(some.to(model.device))
            except _Enough:
                continue
    return torch.cat(found)


@torch.no_grad()
def direct_effect(model: Llama, layer: int, neuron: int, vocab_size: int) -> Tensor:
    """What a unit of activation adds to each logit, [vocabulary], by the direct path, around their mean.

    Its column of the down projection, scaled as the last norm scales and read by the output matrix (Geva et al. 2022,
    arXiv:2203.14680), for a residual stream of root mean square 1.
    """
    written = blocks_of(model)[layer].mlp.down_proj.weight[:, neuron]
    output = model.model.embed_tokens if model.lm_head is None else model.lm_head
    logits = output.weight[:vocab_size] @ (written * model.model.norm.weight)
    return (logits - logits.mean()).float().cpu()


def strongest(effect: Tensor, count: int, *, highest: bool) -> Sequence[tuple[int, float]]:
    """The tokens with the largest effects, or with the smallest, and these effects."""
    values, ids = effect.topk(min(count, len(effect)), largest=highest)
    return [(int(index), float(value)) for index, value in zip(ids, values, strict=True)]
