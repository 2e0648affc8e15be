"""Causal attention and dropout by whichever way is fastest on the device: the mathematics is the same."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trickster_engine.model.query_blocks import query_blocks


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let every token of q [B, H, T, C] look at k and v [B, K, T, C] up to itself -> [B, H, T, C]; K divides H."""
    if q.is_cpu and torch.is_autocast_enabled("cpu"):
        return _as_bf16_products(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def for_products(x: Tensor) -> Tensor:
    """Round x to what matrix products are computed in, once for all the products that read it.

    It takes as long as rounding for each, but the backward pass keeps one copy instead of three.
    """
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def dropout(x: Tensor, p: float) -> Tensor:
    """Set a share `p` of x to zero at random and scale the rest up by 1 / (1 - p)."""
    if not x.is_cpu:
        return F.dropout(x, p)
    # torch draws one double for each element on a CPU, one core at a time. A 64-bit draw holds four 16-bit ones, which
    # meet p to within 1/65536.
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= round(p * 2**16) - 2**15
    return torch.where(kept, x * (1 / (1 - p)), 0.0)


def _as_bf16_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention as plain matrix products: torch's fused kernel for CPUs does not use the processor's bf16 units."""
    heads, length, width = q.shape[1:]
    if k.shape[1] != heads:
        k, v = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (k, v))
    queries = (q * width**-0.5).bfloat16().flatten(0, 1)
    keys = k.bfloat16().flatten(0, 1).mT
    values = v.bfloat16().flatten(0, 1)
    outputs = []
    for first, last in query_blocks(length):
        future = torch.full((last - first, last), -torch.inf, dtype=torch.bfloat16).triu(first + 1)
        scores = torch.baddbmm(future.expand(len(queries), -1, -1), queries[:, first:last], keys[:, :, :last])
        outputs.append(torch.bmm(scores.softmax(-1), values[:, :last]))
    return torch.cat(outputs, dim=1).view(q.shape)
