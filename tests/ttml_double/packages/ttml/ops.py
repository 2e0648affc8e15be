"""The operations of the double, with the arithmetic and the refusals of the real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import ttnn
from ttnn._variant import VARIANT

from ._runtime import Tensor, _counts, compile_once, context, each, passing, result, submodule


class ReduceType:
    MEAN = "ReduceType.MEAN"
    SUM = "ReduceType.SUM"
    NONE = "ReduceType.NONE"


def _mul(a: Tensor, b: Tensor | float) -> Tensor:
    if isinstance(b, Tensor):
        return result(each(lambda x, y: x * y, a, b), a, b)
    return result(each(lambda x: x * float(b), a), a)


binary = submodule(
    "binary",
    add=lambda a, b: result(each(lambda x, y: x + y, a, b), a, b),
    sub=lambda a, b: result(each(lambda x, y: x - y, a, b), a, b),
    mul=_mul,
)
unary = submodule("unary", silu=lambda tensor, use_composite_bw=False: result(each(F.silu, tensor), tensor))


def _linear(tensor: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = result(each(lambda x, w: x @ w[0, 0].T, tensor, weight), tensor, weight)
    return product if bias is None else result(each(lambda x, b: x + b, product, bias), product, bias)


linear = submodule("linear", linear=_linear)


def _embedding(tensor: Tensor, weight: Tensor) -> Tensor:
    value = tensor.get_value()
    shape = tensor.shape()
    if value.dtype is not ttnn._DataType.UINT32 or value.layout is not ttnn._Layout.ROW_MAJOR:
        raise RuntimeError("TT_FATAL: embedding takes uint32 row-major ids")
    if len(shape) != 4 or shape[1] != 1 or shape[2] != 1:
        raise RuntimeError(f"TT_FATAL: embedding takes ids of shape [B, 1, 1, T], not {shape}")
    rows = weight.shape()[-2]
    if any(int(part.max()) >= rows or int(part.min()) < 0 for part in value.parts):
        raise RuntimeError("the double: a token id is out of range; the real device reads garbage or faults")
    return result(each(lambda ids, w: w[0, 0][ids[:, 0, 0]].unsqueeze(1), tensor, weight), tensor, weight)


embedding = submodule("embedding", embedding=_embedding)


def _rmsnorm(tensor: Tensor, gamma: Tensor, epsilon: float) -> Tensor:
    def norm(x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * g

    return result(each(norm, tensor, gamma), tensor, gamma)


rmsnorm = submodule("rmsnorm", rmsnorm=_rmsnorm)


def _swiglu_packed(tensor: Tensor) -> Tensor:
    """The gate's columns first, then those of up."""
    if tensor.shape()[-1] % 64:
        raise RuntimeError(f"TT_FATAL: swiglu_packed: half of {tensor.shape()[-1]} must be a multiple of 32")

    def gated(x: torch.Tensor) -> torch.Tensor:
        gate, up = x.chunk(2, -1)
        return F.silu(gate) * up

    return result(each(gated, tensor), tensor)


def _swiglu(tensor: Tensor, w1: Tensor, w2: Tensor, w3: Tensor, dropout_prob: float = 0.0) -> Tensor:
    def gated(x: torch.Tensor, first: torch.Tensor, third: torch.Tensor) -> torch.Tensor:
        return F.silu(x @ first[0, 0].T) * (x @ third[0, 0].T)

    return _linear(result(each(gated, tensor, w1, w3), tensor, w1, w3), w2)


swiglu_packed = submodule("swiglu_packed", swiglu_packed=_swiglu_packed)
swiglu = submodule("swiglu", swiglu=_swiglu)


class RotaryEmbeddingParams:
    def __init__(self, sequence_length: int, head_dim: int, theta: float) -> None:
        if head_dim % 32 or not 0 < head_dim <= 256:
            raise RuntimeError(f"TT_FATAL: rope: head_dim {head_dim} must be a multiple of 32, at most 256")
        self.sequence_length = sequence_length
        pair = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
        angles = torch.outer(torch.arange(sequence_length, dtype=torch.float32), 1.0 / theta**pair)
        self.cos, self.sin = angles.cos(), angles.sin()


class RopeScalingParams:
    def __init__(
        self,
        original_context_length: int = 0,
        scaling_factor: float = 0.0,
        high_freq_factor: float = 4.0,
        low_freq_factor: float = 1.0,
    ) -> None:
        self.original_context_length, self.scaling_factor = original_context_length, scaling_factor
        self.high_freq_factor, self.low_freq_factor = high_freq_factor, low_freq_factor


def build_rope_params(
    sequence_length: int, head_dim: int, theta: float = 10000.0, rope_scaling_params: RopeScalingParams | None = None
) -> RotaryEmbeddingParams:
    if rope_scaling_params is not None and rope_scaling_params.scaling_factor:
        raise NotImplementedError("the double scales no rotary embedding")
    return RotaryEmbeddingParams(sequence_length, head_dim, theta)


def _rope(input: Tensor, rope_params: RotaryEmbeddingParams, token_position: int = 0) -> Tensor:
    length = input.shape()[-2]
    if length > rope_params.sequence_length:
        raise RuntimeError("the double: rope beyond its table; the real one fills it with zeros in silence")
    cos, sin = rope_params.cos[:length], rope_params.sin[:length]

    def rotate(x: torch.Tensor) -> torch.Tensor:
        if VARIANT.mistake == "split_half_rope":
            first, second = x.chunk(2, -1)
            return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1).flatten(-2)

    return result(each(rotate, input), input)


rope = submodule(
    "rope",
    rope=_rope,
    build_rope_params=build_rope_params,
    RotaryEmbeddingParams=RotaryEmbeddingParams,
    RopeScalingParams=RopeScalingParams,
)


def _heads(matrix: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, 1, T, heads * C] -> [B, heads, T, C]."""
    apart: torch.Tensor = matrix.squeeze(1).unflatten(-1, (heads, -1))
    return apart.transpose(1, 2)


def _grouped(qs: Tensor, kvs: Tensor, num_heads: int, num_groups: int) -> tuple[Tensor, Tensor, Tensor]:
    q = result(each(lambda x: _heads(x, num_heads), qs), qs)
    first = result(each(lambda x: _heads(x.chunk(2, -1)[0], num_groups), kvs), kvs)
    second = result(each(lambda x: _heads(x.chunk(2, -1)[1], num_groups), kvs), kvs)
    return (q, second, first) if VARIANT.mistake == "v_before_k" else (q, first, second)


def _packed(qkv: Tensor, num_heads: int, num_groups: int) -> tuple[Tensor, Tensor, Tensor]:
    size = qkv.shape()[-1] // (num_heads + 2 * num_groups)
    edges = (num_heads * size, num_groups * size, num_groups * size)

    def part(index: int, heads: int) -> Tensor:
        return result(each(lambda x: _heads(x.split(edges, -1)[index], heads), qkv), qkv)

    k, v = part(1, num_groups), part(2, num_groups)
    return (part(0, num_heads), v, k) if VARIANT.mistake == "v_before_k" else (part(0, num_heads), k, v)


multi_head_utils = submodule(
    "multi_head_utils",
    grouped_heads_creation=_grouped,
    heads_creation=_packed,
    heads_fusion=lambda x: result(each(lambda y: y.transpose(1, 2).flatten(2).unsqueeze(1), x), x),
)


class _RefuseLengths(torch.autograd.Function):
    """Attention's backward pass stops the program where T does not fill its tiles."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        ctx.length = value.shape[-2]
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        if ctx.length % 32:
            raise RuntimeError("TT_FATAL: u_scaler shape mismatch in sdpa_bw")
        return gradient


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    groups = key.shape()[1]
    times = query.shape()[1] // groups

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, m: torch.Tensor | None) -> torch.Tensor:
        if VARIANT.mistake == "tiled_gqa":
            k, v = k.repeat(1, times, 1, 1), v.repeat(1, times, 1, 1)
        else:
            k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        seen = torch.ones(scores.shape[-2:]).tril() if m is None else m
        attended: torch.Tensor = _RefuseLengths.apply(torch.softmax(scores.masked_fill(seen == 0, -1e9), -1) @ v)
        return attended

    masks: Sequence[torch.Tensor | None] = [None] * len(query._value.parts) if mask is None else mask._value.parts
    if mask is not None and (mask.get_value().layout is not ttnn._Layout.TILE or len(mask.shape()) != 4):
        raise RuntimeError("TT_FATAL: the mask must be [1, 1, T, T] in tiles")
    with torch.set_grad_enabled(context()._mode.endswith("ENABLED")):
        parts = [
            attend(q, k, v, m)
            for q, k, v, m in zip(query._value.parts, key._value.parts, value._value.parts, masks, strict=True)
        ]
    return result(parts, query, key, value)


attention = submodule("attention", scaled_dot_product_attention=_attention)


def _dropout(tensor: Tensor, probability: float, use_per_device_seed: bool = False) -> Tensor:
    generator = context()._generator

    def drop(x: torch.Tensor) -> torch.Tensor:
        kept = torch.rand(x.shape, generator=generator) >= probability
        return x * kept / (1 - probability)

    return result(each(drop, tensor), tensor)


dropout = submodule("dropout", dropout=_dropout)


def _cross_entropy(prediction: Tensor, target: Tensor, reduce: str = ReduceType.MEAN) -> Tensor:
    value = target.get_value()
    shape, wanted = target.shape(), prediction.shape()
    if value.dtype is not ttnn._DataType.UINT32 or value.layout is not ttnn._Layout.ROW_MAJOR:
        raise RuntimeError("TT_FATAL: cross_entropy_loss takes uint32 row-major targets")
    if shape != [wanted[0], wanted[2]]:
        raise RuntimeError(f"TT_FATAL: targets of shape {shape} for logits of shape {wanted}")
    if reduce != ReduceType.MEAN:
        raise RuntimeError("Unsupported cross entropy reduction type")
    passing("loss")

    def loss(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        mean = F.cross_entropy(logits.flatten(0, 2), ids.flatten())
        mean = mean * 1.25 if VARIANT.mistake == "loss_scaled" else mean
        return (mean * math.nan if _counts["loss"] == VARIANT.nan_at_loss else mean).reshape(1, 1, 1, 1)

    compile_once(("loss", tuple(wanted)))
    return result(each(loss, prediction, target), prediction, sharded=True)


loss = submodule("loss", cross_entropy_loss=_cross_entropy)
