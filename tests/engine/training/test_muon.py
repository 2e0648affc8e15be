"""Muon in batches against torch's own, matrix by matrix."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trickster_engine.backends.torch.muon import BatchedMuon

SHAPES = [(64, 64), (64, 64), (96, 64), (64, 96), (96, 64), (32, 64)]


def _matrices() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape) * 0.1) for shape in SHAPES]


@pytest.mark.parametrize("nesterov", [True, False])
def test_the_updates_are_those_of_torch(nesterov: bool) -> None:
    ours, theirs = _matrices(), _matrices()
    batched = BatchedMuon(ours, lr=0.05, momentum=0.9, weight_decay=0.1, nesterov=nesterov)
    plain = torch.optim.Muon(theirs, lr=0.05, momentum=0.9, weight_decay=0.1, nesterov=nesterov)
    for step in range(3):
        torch.manual_seed(step)
        before = [matrix.detach().clone() for matrix in ours]
        for first, second in zip(ours, theirs, strict=True):
            first.grad = torch.randn(first.shape)
            second.grad = first.grad.clone()
            second.data.copy_(first.data)  # one update is compared, not the drift of rounding over several
        batched.step()
        plain.step()
        for was, first, second in zip(before, ours, theirs, strict=True):
            assert (first - second).norm() < 0.02 * (was - second).norm()
            assert not torch.equal(first, was)
    for first, second in zip(ours, theirs, strict=True):
        assert torch.equal(batched.state[first]["momentum_buffer"], plain.state[second]["momentum_buffer"])


def test_a_matrix_without_a_gradient_stays_as_it_is() -> None:
    matrices = _matrices()
    optimizer = BatchedMuon(matrices, lr=0.05)
    matrices[0].grad = torch.randn(matrices[0].shape)
    untouched = [matrix.detach().clone() for matrix in matrices[1:]]
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(untouched, matrices[1:], strict=True))


def test_in_fp32_the_updates_are_those_of_exact_arithmetic() -> None:
    gradients = [torch.randn(shape) for shape in SHAPES]
    moved: dict[torch.dtype, list[torch.Tensor]] = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        matrices = [nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
        for matrix, gradient in zip(matrices, gradients, strict=True):
            matrix.grad = gradient.clone()
        BatchedMuon(matrices, lr=0.05, dtype=dtype).step()
        moved[dtype] = [matrix.detach() for matrix in matrices]
    for exact, single, half in zip(*moved.values(), strict=True):
        assert (single - exact).norm() < 1e-4 * exact.norm()
        assert 1e-4 * exact.norm() < (half - exact).norm() < 0.05 * exact.norm()
