"""Whether the kernels for CPUs compute what torch computes, asked before they train."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trickster_engine.backends.torch.fused_block import FusedBlock
from trickster_engine.backends.torch.fused_head import FusedHead
from trickster_engine.backends.torch.kernels.library import Kernels, NoKernelsError
from trickster_engine.backends.torch.muon import BatchedMuon
from trickster_engine.model.llama import Llama, run_block, run_norm

_TRIED_TOKENS = 128
#: Of a result's length: fp32 strays by a millionth, bf16 by a hundredth.
_ROUNDING = {torch.float32: 1e-4, torch.bfloat16: 0.05}


def require_agreement(kernels: Kernels, model: Llama, formats: Sequence[torch.dtype]) -> None:
    """Raise NoKernelsError where a block of the model, what follows it, or Muon comes to another result than without.

    What a compiler makes for a processor that nobody has tried is tried before it trains, in the formats that training
    may compute its products in. Over a short sequence, both ways, without dropout.
    """
    for dtype in formats:
        plain = [*_trained(None, model, dtype), *_updated_by_muon(None, dtype)]
        fused = [*_trained(kernels, model, dtype), *_updated_by_muon(kernels, dtype)]
        for wanted, found in zip(plain, fused, strict=True):
            strayed, whole = torch.linalg.vector_norm(found - wanted).item(), torch.linalg.vector_norm(wanted).item()
            if not strayed <= _ROUNDING[dtype] * whole:
                raise NoKernelsError(f"the compiled kernels compute something else on this CPU ({strayed / whole:.1e})")


def _trained(kernels: Kernels | None, model: Llama, dtype: torch.dtype) -> list[Tensor]:
    """What a block and what follows it come to, and the gradients."""
    block, norm = model.model.layers[0], model.model.norm
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, min(model.config.max_seq_len, _TRIED_TOKENS), model.config.hidden_dim), generator=generator)
    targets = torch.randint(x.shape[-1], x.shape[:2], generator=generator)
    inputs = [x.requires_grad_(), *block.parameters(), norm.weight]
    was_training = block.training
    block.eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = (FusedBlock(kernels) if kernels else run_block)(block, x, model.model.rotary)
        if kernels:
            head = FusedHead(kernels)
            loss = head.cross_entropy(head.norm(norm, y), targets)  # the norm's outputs stand for logits
        else:
            loss = F.cross_entropy(run_norm(norm, y).flatten(0, 1).float(), targets.flatten())
    block.train(was_training)
    return [y.detach(), loss.detach(), *torch.autograd.grad(loss, inputs)]


def _updated_by_muon(kernels: Kernels | None, dtype: torch.dtype) -> list[Tensor]:
    """As many matrices as make every core take part, of no whole tiles and in both directions, after an update."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(24, 40), (40, 24)] * torch.get_num_threads()
    matrices = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for matrix in matrices:
        matrix.grad = torch.randn(matrix.shape, generator=generator)
    BatchedMuon(matrices, lr=1.0, dtype=dtype, kernels=kernels).step()
    return [matrix.detach() for matrix in matrices]
