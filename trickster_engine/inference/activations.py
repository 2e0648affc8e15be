"""What each part of a model computes for a text, taken down through hooks: the model itself stays as it is.

Letters in the comments on shapes are those of `model/llama.py`; L is the number of layers, M that of an MLP's neurons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trickster_engine.inference.sampling import require_numbers
from trickster_engine.model.attention import attention_scores
from trickster_engine.model.llama import Block, Llama


@dataclass(frozen=True)
class Activations:
    """One text's, in fp32. `transformers` calls `residual` hidden_states (its last is normed), and `attention` so."""

    tokens: Tensor  # [T]
    residual: Tensor  # [L + 1, T, D]: the stream after the embedding and after each layer
    attention: Tensor  # [L, H, T, T]: how much the token of a row looks at that of a column; a row adds up to 1
    heads: Tensor  # [L, T, H, C]: what each head gives to the output projection
    attention_added: Tensor  # [L, T, D]
    neurons: Tensor  # [L, T, M]: silu(gate) * up, what the down projection reads
    mlp_added: Tensor  # [L, T, D]
    logits: Tensor  # [T, V]


def blocks_of(model: Llama) -> list[Block]:
    """The model's layers."""
    return cast("list[Block]", list(model.model.layers))


@contextmanager
def hooked(handles: Sequence[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    """Hooks that are removed at the end."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@torch.no_grad()
def capture(model: Llama, tokens: Sequence[int]) -> Activations:
    """Read tokens, at most `max_seq_len`, and take down everything. Raises TricksterError where the weights are NaN."""
    blocks = blocks_of(model)
    taken: dict[str, list[Tensor]] = {
        name: [] for name in ("residual", "attention", "heads", "attention_added", "neurons", "mlp_added")
    }
    handles = []

    def take(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            taken[name].append(output[0].float())

        return hook

    def take_input(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            taken[name].append(inputs[0][0].float())

        return hook

    handles.append(model.model.embed_tokens.register_forward_hook(take("residual")))
    for block in blocks:
        handles += [
            block.register_forward_hook(take("residual")),
            block.self_attn.o_proj.register_forward_pre_hook(take_input("heads")),
            block.self_attn.register_forward_hook(take("attention_added")),
            block.self_attn.register_forward_hook(_weights_to(taken["attention"])),
            block.mlp.down_proj.register_forward_pre_hook(take_input("neurons")),
            block.mlp.register_forward_hook(take("mlp_added")),
        ]
    ids = torch.tensor([list(tokens)], device=model.device)
    with hooked(handles):
        logits: Tensor = require_numbers(model(ids)[0].float())
    stacked = {name: torch.stack(parts) for name, parts in taken.items()}
    stacked["heads"] = stacked["heads"].view(len(blocks), ids.shape[1], -1, model.config.head_dim)
    return Activations(tokens=ids[0], logits=logits, **stacked)


def _weights_to(taken: list[Tensor]) -> Callable[..., None]:
    """A hook that computes an attention's weights [H, T, T], which fused kernels never keep, from what it was given."""

    def hook(module: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, rotary, _, _, mask = (*inputs, None)[:5]
        q, k = (
            rotary(projection(x).view(1, x.shape[1], -1, module.head_dim), 0).transpose(1, 2).float()
            for projection in (module.q_proj, module.k_proj)
        )
        taken.append(attention_scores(q, k, mask).softmax(dim=-1)[0])

    return hook


def unembed(model: Llama, stream: Tensor) -> Tensor:
    """The logits [..., V] that the model would give if its residual stream [..., D] went straight to the output."""
    output = model.model.embed_tokens if model.lm_head is None else model.lm_head
    return F.linear(model.model.norm(stream), output.weight).float()
