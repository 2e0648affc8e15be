"""The logit lens: what a model would say next if it ended after each layer (nostalgebraist 2020).

The residual stream after a layer goes through the model's last norm and its output matrix, as it does at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trickster_engine.inference.activations import Activations, unembed
from trickster_engine.model.llama import Llama


@dataclass(frozen=True)
class Lens:
    """Row 0 is the embedding, row i after layer i - 1; the last row is what the model says."""

    ids: Tensor  # [L + 1, T, top], likeliest first
    probabilities: Tensor  # [L + 1, T, top]
    next_probability: Tensor  # [L + 1, T], of the token that follows; NaN after the last
    next_rank: Tensor  # [L + 1, T], how many tokens are likelier; -1 after the last


@torch.no_grad()
def logit_lens(model: Llama, found: Activations, top: int, vocab_size: int) -> Lens:
    """The lens on a text. One layer at a time, because a large vocabulary makes many logits."""
    rows = [_row(unembed(model, stream)[:, :vocab_size], found.tokens, top) for stream in found.residual]
    return Lens(*(torch.stack(parts) for parts in zip(*rows, strict=True)))


def _row(logits: Tensor, tokens: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    probabilities = logits.softmax(dim=-1)
    likeliest = probabilities.topk(min(top, logits.shape[-1]))
    probability, rank = next_token(logits, tokens)
    after_last = tokens.new_tensor([-1])
    return (
        likeliest.indices,
        likeliest.values,
        torch.cat((probability, probability.new_tensor([torch.nan]))),
        torch.cat((rank, after_last)),
    )


def next_token(logits: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The probability [T - 1] of each token after the first of tokens [T], from logits [T, V], and how many beat it."""
    following = tokens[1:, None]
    own = logits[:-1].gather(1, following)
    rank = (logits[:-1] > own).sum(dim=-1)
    return logits[:-1].softmax(dim=-1).gather(1, following)[:, 0], rank
