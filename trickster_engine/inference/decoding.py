"""Reading one more token of one text on a CPU, where starting an operation costs more than computing it.

For each token a small model does some 25 operations a layer, each over within a few microseconds; torch spends longer
than that on starting one, NumPy a fraction of it. A compiled kernel does all in one call, where it is at hand. For
other machines the layers of `llama.py` are written a second time here, in NumPy, for a single token. Weights, rotation
tables and cache are the model's own memory, seen through NumPy: nothing is copied, and what training changes is seen at
once. Letters in the comments on shapes are those of `llama.py`; G is the number of heads that share a key/value head, N
the number of tokens read so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trickster_engine.backends.torch.kernels.library import kernels_at_hand
from trickster_engine.inference.compiled_decoding import CompiledReader
from trickster_engine.model.llama import Block, KeyValueCache, Llama

#: How far apart the logits of two ways may be, as a share of their size: sums of fp32 in another order.
_SAME_TO = 1e-4

Array = NDArray[np.float32]


def rounded(model: Llama) -> Llama:
    """A copy of a model of which the matrices have only what bfloat16 holds of them; itself where that gains nothing.

    A compiled kernel then reads half as much for each token, and gives the logits that the copy gives.
    """
    if not _is_plain(model) or kernels_at_hand() is None:
        return model
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in copy.parameters():
            if parameter.ndim > 1:
                parameter.copy_(parameter.bfloat16())
    return copy


def token_reader(model: Llama, cache: KeyValueCache, *, in_bf16: bool = False) -> Callable[[Tensor], Tensor]:
    """The fastest way to read tokens [B, T] into the cache and get the logits [B, V] after the last one, on the host.

    As for the model itself: any number of tokens into an empty cache, then one at a time. `in_bf16` is for a model that
    was `rounded`.
    """

    def read(tokens: Tensor) -> Tensor:
        logits: Tensor = model(tokens.to(model.device), cache)[:, -1].float().cpu()
        return logits

    if not _is_plain(model) or cache.store.shape[2] > 1:
        return read
    compiled = compiled_reader(model, cache, in_bf16=in_bf16)

    def read_compiled(token: int) -> Tensor:
        assert compiled is not None
        cache.length += 1
        return compiled([token], [cache.length - 1])

    read_one = _OneToken(model, cache) if compiled is None else read_compiled
    return lambda tokens: read(tokens) if tokens.shape[1] > 1 else read_one(int(tokens))


def compiled_reader(model: Llama, cache: KeyValueCache, *, in_bf16: bool = False) -> CompiledReader | None:
    """The compiled reader, where its kernel is at hand and comes to the same logits as NumPy on this processor.

    They are compared at the last position, where a token attends to all others and its rotation is not the identity.
    """
    kernels = kernels_at_hand() if _is_plain(model) else None
    if kernels is None or not all(x.is_contiguous() for x in model.parameters()):
        return None
    reader = CompiledReader(kernels, model, cache.store, in_bf16=in_bf16)
    row = cache.store[:, :, :1]
    length, kept = cache.length, row.clone()
    row.normal_(generator=torch.Generator().manual_seed(0))
    cache.length = model.config.max_seq_len - 1
    found = reader([0], [cache.length])
    expected = _OneToken(model, cache)(0)
    row.copy_(kept)
    cache.length = length
    return reader if (found - expected).norm() <= _SAME_TO * expected.norm() else None


def _is_plain(model: Llama) -> bool:
    """Whether every weight is whole, on the CPU and in fp32.

    One of which each of several processes holds a part is not a plain parameter. What stands outside the blocks may be
    whole for a moment while they are not, so every weight is looked at.
    """
    return all(type(x) is nn.Parameter and x.is_cpu and x.dtype == torch.float32 for x in model.parameters())


class _Layer(NamedTuple):
    """A block's norms [D] and weights [out, in], and what the cache holds for it, [K, max_seq_len, C]."""

    attention_norm: Array
    q: Array
    k: Array
    v: Array
    o: Array
    mlp_norm: Array
    gate: Array
    up: Array
    down: Array
    keys: Array
    values: Array


class _OneToken:
    """Gives the logits that the model would give for one more token; both go on with the same cache."""

    def __init__(self, model: Llama, cache: KeyValueCache) -> None:
        config = model.config
        self._cache = cache
        self._layers = [_layer(*pair) for pair in zip(model.model.layers, cache.store[:, :, 0], strict=True)]
        self._embedding = _array(model.model.embed_tokens.weight)
        self._norm = _array(model.model.norm.weight)
        self._output = self._embedding if model.lm_head is None else _array(model.lm_head.weight)
        self._eps = config.norm_eps
        self._scale = config.head_dim**-0.5
        halves = (-1, 2, config.head_dim // 2)
        self._cos = _array(model.model.rotary.cos).reshape(halves)
        self._sin = _array(model.model.rotary.sin).reshape(halves)
        # Where results go, so that no token asks for memory. Queries and keys lie together, to be rotated at once.
        joint = np.empty(config.hidden_dim + config.kv_dim, np.float32)
        self._q, self._k = np.split(joint, [config.hidden_dim])
        self._pairs = joint.reshape(halves)  # [H + K, 2, C / 2]
        self._swapped = self._pairs[:, ::-1]
        self._turned = np.empty_like(self._pairs)
        self._v = np.empty(config.kv_dim, np.float32)
        self._normed, self._added = np.empty((2, config.hidden_dim), np.float32)
        self._gate, self._up = np.empty((2, config.mlp_dim), np.float32)
        # The same, by heads.
        self._queries = self._q.reshape(config.num_kv_heads, -1, config.head_dim)  # [K, G, C]
        self._key, self._value = (x.reshape(config.num_kv_heads, config.head_dim) for x in (self._k, self._v))

    def __call__(self, token: int) -> Tensor:
        """The logits [1, V] of what follows a token, which joins those in the cache."""
        with np.errstate(all="ignore"):  # exp of a very negative gate is infinite, and to divide by that is right
            x = self._embedding[token].copy()
            for layer in self._layers:
                x += np.dot(layer.o, self._attention(layer, self._rms_norm(x, layer.attention_norm)), out=self._added)
                x += np.dot(layer.down, self._mlp(layer, self._rms_norm(x, layer.mlp_norm)), out=self._added)
            self._cache.length += 1
            logits = np.dot(self._output, self._rms_norm(x, self._norm))
        return torch.from_numpy(logits)[None]

    def _rms_norm(self, x: Array, weight: Array) -> Array:
        """[D] -> [D]."""
        np.multiply(x, 1 / math.sqrt(np.dot(x, x) / len(x) + self._eps), out=self._normed)
        return np.multiply(self._normed, weight, out=self._normed)

    def _attention(self, layer: _Layer, x: Array) -> Array:
        """[D] -> [D], before the output projection."""
        position = self._cache.length
        np.dot(layer.q, x, out=self._q)
        np.dot(layer.k, x, out=self._k)
        np.dot(layer.v, x, out=self._v)
        np.multiply(self._swapped, self._sin[position], out=self._turned)
        self._pairs *= self._cos[position]
        self._pairs += self._turned
        self._q *= self._scale
        layer.keys[:, position] = self._key
        layer.values[:, position] = self._value
        weights = np.matmul(self._queries, layer.keys[:, : position + 1].transpose(0, 2, 1))  # [K, G, N]
        weights -= np.maximum.reduce(weights, axis=2, keepdims=True)
        np.exp(weights, out=weights)
        weights /= np.add.reduce(weights, axis=2, keepdims=True)
        mixed: Array = np.matmul(weights, layer.values[:, : position + 1])  # [K, G, C]
        return mixed.reshape(-1)

    def _mlp(self, layer: _Layer, x: Array) -> Array:
        """[D] -> [mlp_dim], before the down projection: up * gate / (1 + exp(-gate))."""
        gate, up = np.dot(layer.gate, x, out=self._gate), np.dot(layer.up, x, out=self._up)
        up *= gate
        np.negative(gate, out=gate)
        np.exp(gate, out=gate)
        gate += 1
        up /= gate
        return up


def _layer(block: nn.Module, store: Tensor) -> _Layer:
    """A block and its part of the cache, [2, K, max_seq_len, C]."""
    assert isinstance(block, Block)
    attention, mlp = block.self_attn, block.mlp
    return _Layer(
        attention_norm=_array(block.input_layernorm.weight),
        q=_array(attention.q_proj.weight),
        k=_array(attention.k_proj.weight),
        v=_array(attention.v_proj.weight),
        o=_array(attention.o_proj.weight),
        mlp_norm=_array(block.post_attention_layernorm.weight),
        gate=_array(mlp.gate_proj.weight),
        up=_array(mlp.up_proj.weight),
        down=_array(mlp.down_proj.weight),
        keys=_array(store[0]),
        values=_array(store[1]),
    )


def _array(tensor: Tensor) -> Array:
    """The same memory."""
    array: Array = tensor.detach().numpy()
    return array
