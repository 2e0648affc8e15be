"""Causal attention and dropout by whichever way is fastest on the device: the mathematics is the same."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trickster_engine.model.query_blocks import query_blocks


def causal_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Let every token of q [B, H, T, C] look at k and v [B, K, T, C] up to itself -> [B, H, T, C]; K divides H.

    `mask` of `within_documents`, where it is given, says instead which tokens each looks at; on CPUs and CUDA GPUs.
    """
    if mask is not None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
    if q.is_cpu and torch.is_autocast_enabled("cpu"):
        # torch's fused kernel for CPUs does not use the processor's bf16 units.
        return _as_products(q, k, v, torch.bfloat16)
    if q.is_mps:
        return _as_products(q, k, v, v.dtype)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def within_documents(tokens: Tensor, end: int, dtype: torch.dtype) -> Tensor:
    """Say which tokens each of tokens [B, T] sees: those up to itself in its own document, as a mask [B, 1, T, T].

    The token `end`, which ends a document, is what the next one begins with: the first of its tokens is predicted from
    it, and from nothing else. The mask is added to the scores, 0 or minus infinity, in the `dtype` that attention is
    computed in: of booleans torch makes such a mask in each block, and keeps every one for the backward pass.
    """
    length = tokens.shape[1]
    document = (tokens == end).cumsum(dim=1)
    hidden = document[:, None, :, None] != document[:, None, None, :]
    hidden |= torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
    return torch.zeros(hidden.shape, dtype=dtype, device=tokens.device).masked_fill_(hidden, -torch.inf)


def attention_scores(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scores [B, H, T, T] whose softmax `causal_attention` weighs values by; its fused kernels never keep them.

    q k / sqrt(C) of q [B, H, T, C] and k [B, K, T, C], minus infinity where a token does not look (Vaswani et al. 2017,
    arXiv:1706.03762); `mask` as there.
    """
    length = q.shape[2]
    if mask is None:
        mask = torch.full((length, length), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
    scores: Tensor = q @ for_each_head(k, q.shape[1]).mT * q.shape[-1] ** -0.5 + mask
    return scores


def attention_of_the_last(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let one token q [B, H, 1, C] look at all of k and v [B, K, T, C] -> [B, H, 1, C]; K divides H."""
    if q.is_mps:
        return _last_as_products(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])


def for_products(x: Tensor) -> Tensor:
    """Round x to what matrix products are computed in, once for all the products that read it.

    It takes as long as rounding for each, but the backward pass keeps one copy instead of three.
    """
    return x.to(product_dtype(x))


def product_dtype(x: Tensor) -> torch.dtype:
    """What matrix products of x are computed in."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def dropout(x: Tensor, p: float) -> Tensor:
    """Set a share `p` of x to zero at random and scale the rest up by 1 / (1 - p)."""
    if not x.is_cpu:
        return F.dropout(x, p)
    # torch draws one double for each element on a CPU, one core at a time. A 64-bit draw holds four 16-bit ones, which
    # meet p to within 1/65536.
    draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= round(p * 2**16) - 2**15
    return torch.where(kept, x * (1 / (1 - p)), 0.0)


def _as_products(q: Tensor, k: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
    """Causal attention as plain matrix products, computed in `dtype`.

    On Apple's GPUs the fused kernel has read future tokens in bf16, and has taken queries, keys and values that are
    views of other tensors for something else (pytorch issues 163597, 174861, 181133, 195910): a loss that falls too
    well, without a word. Plain products have not.
    """
    heads, length, width = q.shape[1:]
    k, v = (for_each_head(x, heads) for x in (k, v))
    queries = (q * width**-0.5).to(dtype).flatten(0, 1)
    keys = k.to(dtype).flatten(0, 1).mT
    values = v.to(dtype).flatten(0, 1)
    outputs = []
    for first, last in query_blocks(length):
        future = torch.full((last - first, last), -torch.inf, dtype=dtype, device=q.device).triu(first + 1)
        scores = torch.baddbmm(future.expand(len(queries), -1, -1), queries[:, first:last], keys[:, :, :last])
        outputs.append(torch.bmm(scores.softmax(-1), values[:, :last]))
    return torch.cat(outputs, dim=1).view(q.shape)


def _last_as_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    k, v = (for_each_head(x, q.shape[1]) for x in (k, v))
    return torch.matmul(q * q.shape[-1] ** -0.5, k.mT).softmax(-1).matmul(v)


def for_each_head(x: Tensor, heads: int) -> Tensor:
    """Keys or values x [B, K, T, C], each K / H times -> [B, H, T, C]."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)
