"""The fast ways through attention and dropout give what the plain ones give."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.refusals import refused
from trickster_engine.backends.torch.attention_check import require_attention
from trickster_engine.config import check
from trickster_engine.model import attention
from trickster_engine.model.attention import attention_of_the_last, causal_attention, dropout
from trickster_engine.model.query_blocks import query_blocks


@pytest.mark.parametrize("length", [1, 7, 128, 256, 257, 512, 600])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_in_bf16_products_is_attention(length: int, kv_heads: int) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, heads, length, 16, requires_grad=True) for heads in (4, kv_heads, kv_heads)]
    direction = torch.randn(2, 4, length, 16)
    exact = causal_attention(*inputs)
    gradients = torch.autograd.grad(exact, inputs, direction)
    with torch.autocast("cpu", torch.bfloat16):
        fast = causal_attention(*inputs)
    assert fast.dtype == torch.bfloat16
    fast_gradients = torch.autograd.grad(fast, inputs, direction.bfloat16())
    # bf16 has 8 bits: products of rounded numbers stray by around a hundredth.
    for plain, other in zip((exact, *gradients), (fast, *fast_gradients), strict=True):
        assert (plain - other.float()).norm() < 0.015 * plain.norm() + 1e-4


@pytest.mark.parametrize("length", [1, 256, 300])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_what_apples_gpu_computes_is_attention(length: int, kv_heads: int) -> None:
    """In plain products, which are the same on every device; the fused kernel there is not asked."""
    torch.manual_seed(0)
    # Views of the projections' output, as the model makes them.
    shaped = [torch.randn(2, length, heads, 16) for heads in (4, kv_heads, kv_heads)]
    inputs = [x.transpose(1, 2).requires_grad_() for x in shaped]
    q, k, v = inputs
    exact, plain = causal_attention(q, k, v), attention._as_products(q, k, v, torch.float32)
    direction = torch.randn_like(exact)
    torch.testing.assert_close(plain, exact, atol=1e-5, rtol=1e-4)
    for one, other in zip(*(torch.autograd.grad(y, inputs, direction) for y in (exact, plain)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    last = (q[:, :, -1:], k, v)
    torch.testing.assert_close(attention._last_as_products(*last), exact[:, :, -1:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(attention_of_the_last(*last), exact[:, :, -1:], atol=1e-5, rtol=1e-4)


def in_fours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As a fused kernel of Apple's GPUs did in bf16: the mask moves on once in four queries."""
    last = torch.arange(q.shape[2])[:, None] // 4 * 4 + 3
    return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.arange(k.shape[2])[None] <= last, enable_gqa=True)


def as_if_in_order(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As another one did: views are read as if they lay in memory in their own order."""
    q, k, v = (x.transpose(1, 2).contiguous().view(x.shape) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", [(4, 2, 600), (1, 1, 2), (3, 3, 64)])
def test_a_device_that_computes_attention_wrongly_is_refused(
    precision: str, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads, kv_heads, length = shape
    plan = check("{}").plan
    assert plan is not None
    model = replace(plan.model, hidden_dim=16 * heads, num_heads=heads, num_kv_heads=kv_heads, max_seq_len=length)
    require_attention(model, torch.device("cpu"), precision)
    for fault in (in_fours, as_if_in_order):
        if fault is as_if_in_order and heads == 1:
            continue  # the same order either way
        monkeypatch.setattr("trickster_engine.backends.torch.attention_check.causal_attention", fault)
        with refused("device-computes-wrong", f"on cpu in {precision}"):
            require_attention(model, torch.device("cpu"), precision)


def test_no_token_sees_what_follows_it() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 300, 8) for _ in range(3))
    changed_k, changed_v = k.clone(), v.clone()
    changed_k[:, :, 200:] += 1.0
    changed_v[:, :, 200:] += 1.0
    with torch.autocast("cpu", torch.bfloat16):
        before, after = causal_attention(q, k, v), causal_attention(q, changed_k, changed_v)
    assert torch.equal(before[:, :, :200], after[:, :, :200])
    assert not torch.equal(before[:, :, 200:], after[:, :, 200:])


@pytest.mark.parametrize("length", [1, 256, 257, 512, 1000])
def test_blocks_of_queries_cover_every_position_once(length: int) -> None:
    assert [position for block in query_blocks(length) for position in range(*block)] == list(range(length))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 1001, requires_grad=True)
    y = dropout(x, p)
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=0.002)
    assert y[y != 0].unique().tolist() == pytest.approx([1 / (1 - p)])
    torch.autograd.backward(y.sum())
    assert x.grad is not None and torch.equal(x.grad, y.detach())


def test_dropout_follows_the_seed_and_is_independent_between_neighbours() -> None:
    torch.manual_seed(3)
    first = dropout(torch.ones(1 << 18), 0.5)
    second = dropout(torch.ones(1 << 18), 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(torch.ones(1 << 18), 0.5))
    assert not torch.equal(first, second)
    kept = (first > 0).float() - 0.5
    for lag in (1, 2, 3, 4, 5, 8):  # four elements share a draw
        assert abs(F.cosine_similarity(kept[:-lag], kept[lag:], dim=0).item()) < 0.01
