"""Reading one more token of some texts in one call of a compiled kernel, `backends/torch/kernels/read_tokens.cpp`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from trickster_engine.backends.torch.kernels.library import Kernels
from trickster_engine.inference.one_piece import one_piece
from trickster_engine.model.llama import Block, Llama


class CompiledReader:
    """Gives the logits that the model would give for one more token of each text; both go on with the same cache.

    The weights, on the CPU and in the number format of the cache, are read where they are: nothing is copied, and what
    training changes is seen at once. With `in_bf16` the matrices are copied to bfloat16, which takes half as long to
    read; what the model had in them beyond that is lost.
    """

    def __init__(self, kernels: Kernels, model: Llama, store: Tensor, *, in_bf16: bool = False) -> None:
        """`store` is that of a cache, [layers, 2, R, K, max_seq_len, C]."""
        config, decoder = model.config, model.model
        self._kernels = kernels
        self._dtype = store.dtype
        self._format = torch.bfloat16 if in_bf16 else self._dtype
        self._copy = one_piece((x for x in model.parameters() if x.ndim > 1), torch.bfloat16) if in_bf16 else None
        self._vocab_size = config.vocab_size
        self._epsilon = float(config.norm_eps)
        self._shape = torch.tensor(
            [
                *(config.num_layers, config.hidden_dim, config.num_heads, config.num_kv_heads, config.head_dim),
                *(config.mlp_dim, config.vocab_size, config.max_seq_len),
            ]
        )
        output = decoder.embed_tokens if model.lm_head is None else model.lm_head
        rotary = decoder.rotary
        embedding = self._kept(decoder.embed_tokens.weight)
        last = embedding if output is decoder.embed_tokens else self._kept(output.weight)
        outside = (embedding, decoder.norm.weight, last, rotary.cos, rotary.sin)
        layers = [
            tensor
            for block, store in zip(decoder.layers, store, strict=True)
            for tensor in (*map(self._kept, _weights(block)), store[0], store[1])
        ]
        self._layers, self._outside = _addresses(layers), _addresses(outside)
        self._whole = (*layers, *outside)  # what is read stays in memory

    def __call__(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """The logits [A, V] after tokens [A] of the first A texts, which hold `positions` [A] tokens before them."""
        logits = torch.empty((len(tokens), self._vocab_size), dtype=self._dtype)
        where = self._shape, self._layers, self._outside
        texts = len(tokens), torch.tensor(tokens), torch.tensor(positions)
        self._kernels("read_tokens", self._format, *where, self._epsilon, *texts, logits)
        return logits

    def _kept(self, weight: Tensor) -> Tensor:
        """A weight as it is read: matrices in the format asked for."""
        return weight if self._copy is None or weight.ndim == 1 else self._copy(weight)


def _weights(block: nn.Module) -> tuple[Tensor, ...]:
    """A block's weights in the kernel's order."""
    assert isinstance(block, Block)
    attention, mlp = block.self_attn, block.mlp
    projections = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    return (
        block.input_layernorm.weight,
        *(projection.weight for projection in projections),
        block.post_attention_layernorm.weight,
        *(projection.weight for projection in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)),
    )


def _addresses(tensors: Iterable[Tensor]) -> Tensor:
    """Where the memory of each begins, in one piece."""
    addresses = []
    for tensor in tensors:
        assert tensor.is_contiguous()
        addresses.append(tensor.data_ptr())
    return torch.tensor(addresses)
