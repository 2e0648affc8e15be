"""A block of the model forwards and backwards in a handful of large operations, for training on a CPU.

Between the matrix products, which stay torch's, a block computes little but reads and writes much: the kernels in
`kernels/` do each such stretch in one pass. What goes into a product is rounded where it is made, queries, keys and
values come out of one product, as do gate and up, and scores of attention are never kept. The mathematics is that of
`Block` in `model/llama.py`, whose weights are used; dropout draws one number a pass and derives the rest from it.

Letters in the comments on shapes: B sequences, T tokens each, N = B T, D hidden_dim, C head_dim, F mlp_dim, J the width
of queries, keys and values together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trickster_engine.backends.torch.kernels.library import Kernels
from trickster_engine.model.llama import Block, RotaryEmbedding


class FusedBlock:
    """Runs a block in training, as `Decoder.run_block` does."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels

    def __call__(self, block: nn.Module, x: Tensor, rotary: RotaryEmbedding) -> Tensor:
        """x [B, T, D] -> [B, T, D]."""
        assert isinstance(block, Block)
        attention, mlp = block.self_attn, block.mlp
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        y: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
            x,
            block.input_layernorm.weight,
            attention.q_proj.weight,
            attention.k_proj.weight,
            attention.v_proj.weight,
            attention.o_proj.weight,
            block.post_attention_layernorm.weight,
            mlp.gate_proj.weight,
            mlp.up_proj.weight,
            mlp.down_proj.weight,
            *(table[: x.shape[1], 0].to(x.dtype) for table in (rotary.cos, rotary.sin)),
            _Settings(self._kernels, block, dtype),
        )
        return y


class _Settings:
    """What a pass through a block needs besides tensors."""

    def __init__(self, kernels: Kernels, block: Block, dtype: torch.dtype) -> None:
        self.kernels = kernels
        self.dtype = dtype
        self.head_dim = block.self_attn.head_dim
        self.epsilon = float(block.input_layernorm.eps or 0.0)
        self.dropout = block.dropout if block.training else 0.0
        # Drawn from torch's generator, whose state a checkpoint keeps.
        self.seeds = torch.empty(2, dtype=torch.int64).random_().tolist() if self.dropout > 0 else [0, 0]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        norm_1: Tensor,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        o: Tensor,
        norm_2: Tensor,
        gate: Tensor,
        up: Tensor,
        down: Tensor,
        cos: Tensor,
        sin: Tensor,
        settings: _Settings,
    ) -> Tensor:
        run, dtype, p, epsilon = settings.kernels, settings.dtype, settings.dropout, settings.epsilon
        batch, length, width = x.shape
        rows, wide = batch * length, gate.shape[0]
        heads, kv_heads = width // settings.head_dim, k.shape[0] // settings.head_dim
        x = x.contiguous()
        weights = _rounded(run, dtype, (q, k, v, gate, up, o, down))
        w_qkv, w_gate_up, w_o, w_down = _parts(weights, width, wide, k.shape[0])

        normed_1, inverse_1 = x.new_empty((rows, width), dtype=dtype), x.new_empty(rows)
        run("add_norm", dtype, rows, width, x, None, 0.0, 0, norm_1, epsilon, None, normed_1, inverse_1)
        qkv = torch.mm(normed_1, w_qkv.t())  # [N, J]
        mixed, logsumexp = torch.empty_like(normed_1), x.new_empty((batch, heads, length))
        shape = (batch, length, heads, kv_heads, settings.head_dim)
        run("attention", dtype, *shape, qkv, cos, sin, mixed, logsumexp)
        branch = torch.mm(mixed, w_o.t())  # [N, D]
        middle, normed_2, inverse_2 = torch.empty_like(x), torch.empty_like(normed_1), torch.empty_like(inverse_1)
        seeds = settings.seeds
        run("add_norm", dtype, rows, width, x, branch, p, seeds[0], norm_2, epsilon, middle, normed_2, inverse_2)
        gate_up = torch.mm(normed_2, w_gate_up.t())  # [N, 2 F]
        inner = x.new_empty((rows, wide), dtype=dtype)
        run("swiglu", dtype, rows, wide, gate_up, inner)
        branch = torch.mm(inner, w_down.t())
        y = torch.empty_like(x)
        run("add_norm", dtype, rows, width, middle, branch, p, seeds[1], None, epsilon, y, None, None)

        ctx.settings, ctx.shape = settings, shape
        ctx.save_for_backward(
            *(x, normed_1, inverse_1, qkv, mixed, logsumexp, middle, normed_2, inverse_2, gate_up, inner),
            *(norm_1, norm_2, weights, cos, sin),
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, ...]:
        (x, normed_1, inverse_1, qkv, mixed, logsumexp, middle, normed_2, inverse_2, gate_up, inner), rest = (
            ctx.saved_tensors[:11],
            ctx.saved_tensors[11:],
        )
        norm_1, norm_2, weights, cos, sin = rest
        settings: _Settings = ctx.settings
        run, dtype, p = settings.kernels, settings.dtype, settings.dropout
        rows, width = normed_1.shape
        wide, kv_width = inner.shape[1], (qkv.shape[1] - width) // 2
        w_qkv, w_gate_up, w_o, w_down = _parts(weights, width, wide, kv_width)
        d_weights = torch.empty_like(weights)
        d_w_qkv, d_w_gate_up, d_w_o, d_w_down = _parts(d_weights, width, wide, kv_width)
        d_y = d_y.contiguous()

        d_branch = torch.empty_like(normed_1)
        run("add_backward", dtype, rows, width, d_y, p, settings.seeds[1], d_branch)
        torch.mm(d_branch.t(), inner, out=d_w_down)
        d_inner = torch.mm(d_branch, w_down)
        d_gate_up = torch.empty_like(gate_up)
        run("swiglu_backward", dtype, rows, wide, gate_up, d_inner, d_gate_up)
        torch.mm(d_gate_up.t(), normed_2, out=d_w_gate_up)
        d_normed = torch.mm(d_gate_up, w_gate_up)
        d_middle, d_norm_1, d_norm_2 = torch.empty_like(x), torch.empty_like(norm_1), torch.empty_like(norm_2)
        run(
            *("add_norm_backward", dtype, rows, width, middle, inverse_2, norm_2, d_normed, d_y),
            *(p, settings.seeds[0], d_middle, d_branch, d_norm_2),
        )
        torch.mm(d_branch.t(), mixed, out=d_w_o)
        d_mixed = torch.mm(d_branch, w_o)
        d_qkv = torch.empty_like(qkv)
        run("attention_backward", dtype, *ctx.shape, qkv, cos, sin, mixed, logsumexp, d_mixed, d_qkv)
        torch.mm(d_qkv.t(), normed_1, out=d_w_qkv)
        d_normed = torch.mm(d_qkv, w_qkv)
        d_x = torch.empty_like(x)
        run(
            *("add_norm_backward", dtype, rows, width, x, inverse_1, norm_1, d_normed, d_middle),
            *(0.0, 0, d_x, None, d_norm_1),
        )
        d_qkv_gate_up, d_o, d_down = torch.split(
            d_weights.to(x.dtype), [qkv.shape[1] * width + 2 * wide * width, width * width, wide * width]
        )
        d_q, d_k, d_v, d_gate, d_up = torch.split(
            d_qkv_gate_up.view(-1, width), [width, kv_width, kv_width, wide, wide]
        )
        d_o, d_down = d_o.view(width, width), d_down.view(width, wide)
        return d_x, d_norm_1, d_q, d_k, d_v, d_o, d_norm_2, d_gate, d_up, d_down, None, None, None


def _rounded(run: Kernels, dtype: torch.dtype, weights: tuple[Tensor, ...]) -> Tensor:
    """All weights of a block, one after the other, in the products' format."""
    assert all(weight.is_contiguous() for weight in weights)
    table = torch.tensor([(weight.data_ptr(), weight.numel()) for weight in weights], dtype=torch.int64)
    joined = weights[0].new_empty(sum(weight.numel() for weight in weights), dtype=dtype)
    run("round_all", dtype, len(weights), table, joined)
    return joined


def _parts(joined: Tensor, width: int, wide: int, kv_width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of what `_rounded` has joined, or its gradient: [J, D], [2 F, D], [D, D] and [D, F]."""
    qkv, gate_up, o = (width + 2 * kv_width) * width, 2 * wide * width, width * width
    parts = torch.split(joined, [qkv, gate_up, o, wide * width])
    return parts[0].view(-1, width), parts[1].view(-1, width), parts[2].view(width, width), parts[3].view(width, wide)
