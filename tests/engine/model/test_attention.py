"""The fast ways through attention and dropout give what the plain ones give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trickster_engine.model.attention import causal_attention, dropout
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
