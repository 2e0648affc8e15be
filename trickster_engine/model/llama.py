"""The transformer: a plain Llama, small enough to read in one sitting.

Parameter names, row order (split-half rotary embedding) and arithmetic are those of Hugging Face's `LlamaForCausalLM`,
so that a checkpoint of this model is one of that model. Letters in the comments on shapes: B sequences in a batch,
T tokens in a sequence, D `hidden_dim`, H heads, K key/value heads, C `head_dim`, V `vocab_size`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trickster_engine.config.plan import ModelConfig
from trickster_engine.model.attention import (
    attention_of_the_last,
    causal_attention,
    dropout,
    for_products,
    product_dtype,
    within_documents,
)


class KeyValueCache:
    """The keys and values of the tokens already read, so that each new token is computed once."""

    def __init__(self, config: ModelConfig, batch_size: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (config.num_layers, 2, batch_size, config.num_kv_heads, config.max_seq_len, config.head_dim)
        self.store = torch.zeros(shape, device=device, dtype=dtype)
        self.length = 0

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, K, T, C] to a layer and return everything it holds so far."""
        end = self.length + keys.shape[2]
        self.store[layer, 0, :, :, self.length : end] = keys
        self.store[layer, 1, :, :, self.length : end] = values
        return self.store[layer, 0, :, :, :end], self.store[layer, 1, :, :, :end]


class RotaryEmbedding(nn.Module):
    """Rotates query and key pairs by an angle that grows with the position (Su et al. 2021, arXiv:2104.09864)."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        half = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        inverse_frequency = 1.0 / config.rope_theta**half
        angles = torch.outer(torch.arange(config.max_seq_len, dtype=torch.float32), inverse_frequency)
        # A pair (a, b), half a head apart, becomes (a cos - b sin, b cos + a sin).
        self.register_buffer("cos", torch.cat((angles.cos(), angles.cos()), dim=-1)[:, None], persistent=False)
        self.register_buffer("sin", torch.cat((-angles.sin(), angles.sin()), dim=-1)[:, None], persistent=False)

    def forward(self, x: Tensor, start: int) -> Tensor:
        """Rotate x [B, T, heads, C], whose first token stands at position `start`."""
        cos, sin = (table[start : start + x.shape[1]].to(x.dtype) for table in (self.cos, self.sin))
        return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)


class Attention(nn.Module):
    """Causal self-attention; with fewer key/value heads than heads it is grouped-query attention (arXiv:2305.13245)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.head_dim
        self.q_proj = nn.Linear(config.hidden_dim, config.hidden_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_dim, config.kv_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_dim, config.kv_dim, bias=False)
        self.o_proj = nn.Linear(config.hidden_dim, config.hidden_dim, bias=False)

    def forward(
        self, x: Tensor, rotary: RotaryEmbedding, cache: KeyValueCache | None, layer: int, mask: Tensor | None = None
    ) -> Tensor:
        """x [B, T, D] -> [B, T, D]; `mask` as for `causal_attention`."""
        start = cache.length if cache else 0
        q, k, v = (
            projection(x).view(*x.shape[:2], -1, self.head_dim)  # [B, T, H or K, C]
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k, v = rotary(q, start).transpose(1, 2), rotary(k, start).transpose(1, 2), v.transpose(1, 2)
        if cache:
            k, v = cache.extend(layer, k, v)
        # One new token may look at everything before it: no mask. Several are only ever read into an empty cache.
        y = attention_of_the_last(q, k, v) if x.shape[1] == 1 else causal_attention(q, k, v, mask)
        projected: Tensor = self.o_proj(y.transpose(1, 2).flatten(2))
        return projected


class MLP(nn.Module):
    """SwiGLU feed-forward (Shazeer 2020, arXiv:2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_dim, config.mlp_dim, bias=False)
        self.up_proj = nn.Linear(config.hidden_dim, config.mlp_dim, bias=False)
        self.down_proj = nn.Linear(config.mlp_dim, config.hidden_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        projected: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return projected


class Block(nn.Module):
    """Attention, then the feed-forward, each added to what came in. Dropout acts on what is added, as in ttml."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_dim, eps=config.norm_eps)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_dim, eps=config.norm_eps)
        self.mlp = MLP(config)
        self.dropout = config.dropout

    def forward(
        self, x: Tensor, rotary: RotaryEmbedding, cache: KeyValueCache | None, layer: int, mask: Tensor | None = None
    ) -> Tensor:
        """x [B, T, D] -> [B, T, D]; `mask` as for `causal_attention`."""
        x = x + self._drop(self.self_attn(for_products(self.input_layernorm(x)), rotary, cache, layer, mask))
        return x + self._drop(self.mlp(for_products(self.post_attention_layernorm(x))))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout) if self.training and self.dropout > 0 else x


def run_block(block: nn.Module, x: Tensor, rotary: RotaryEmbedding, mask: Tensor | None = None) -> Tensor:
    """Run a block without a cache, x [B, T, D] -> [B, T, D]."""
    y: Tensor = block(x, rotary, None, 0, mask)
    return y


def run_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    """Run the last norm, x [B, T, D] -> [B, T, D]."""
    y: Tensor = norm(x)
    return y


class Decoder(nn.Module):
    """Everything below the output projection."""

    #: How a block is run in training; `backends/torch/compilation.py` may put a compiled one in its place.
    run_block: Callable[..., Tensor]
    #: How a block is run without a cache and outside of training.
    run_block_in_evaluation: Callable[..., Tensor]
    #: How the last norm is run in training.
    run_norm: Callable[[nn.RMSNorm, Tensor], Tensor]
    #: The token that ends a document, where no token is to see the document before its own.
    document_end: int | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.RMSNorm(config.hidden_dim, eps=config.norm_eps)
        self.rotary = RotaryEmbedding(config)
        self.run_block, self.run_block_in_evaluation, self.run_norm = run_block, run_block, run_norm
        self.document_end = None
        self.recompute_blocks = False  # keep only what goes into each block, and compute the rest again on the way back

    def forward(self, tokens: Tensor, cache: KeyValueCache | None) -> Tensor:
        """tokens [B, T] -> [B, T, D]."""
        x = self.embed_tokens(tokens)
        end = self.document_end
        masks = () if end is None or tokens.shape[1] == 1 else (within_documents(tokens, end, product_dtype(x)),)
        run = self.run_block if self.training else self.run_block_in_evaluation
        for index, block in enumerate(self.layers):
            if cache:
                x = block(x, self.rotary, cache, index, *masks)
            elif self.training and self.recompute_blocks:
                x = checkpoint(run, block, x, self.rotary, *masks, use_reentrant=False)
            else:
                x = run(block, x, self.rotary, *masks)
        if cache:
            cache.length += tokens.shape[1]
        return (self.run_norm if self.training else run_norm)(self.norm, x)


class Llama(nn.Module):
    """A decoder-only transformer over tokens [B, T] with T up to `max_seq_len`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = None if config.tie_embeddings else nn.Linear(config.hidden_dim, config.vocab_size, bias=False)

    def forward(self, tokens: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """tokens [B, T] -> logits [B, T, V].

        With a cache the tokens follow those it already holds: any number into an empty cache, then one at a time.
        """
        output = self.model.embed_tokens if self.lm_head is None else self.lm_head
        return F.linear(self.model(tokens, cache), output.weight)

    def initialize(self, seed: int) -> Llama:
        """Fill the weights at random, the same for the same seed on every machine and device.

        Normal with deviation 0.02; the two projections that write into the residual stream are narrowed by the root of
        twice the number of layers so that the stream's variance does not grow with depth (Radford et al. 2019, GPT-2).
        """
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("norm.weight"):
                nn.init.ones_(parameter)
                continue
            deviation = 0.02
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                deviation /= math.sqrt(2 * self.config.num_layers)
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.embed_tokens.weight.device
