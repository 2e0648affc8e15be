"""Whether a device computes attention right: asked once before training, since faulty kernels say nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from trickster_engine.config.plan import ModelConfig
from trickster_engine.errors import TricksterError
from trickster_engine.model.attention import attention_of_the_last, causal_attention

#: Longer sequences are cut to this for the trial: it holds several blocks of every kernel.
_LENGTH = 512
#: Of the exact result's length. bf16 strays by a hundredth; a token seen that must not be, by far more.
_ROUNDING = {"fp32": 0.01, "bf16": 0.05}


def require_attention(model: ModelConfig, device: torch.device, precision: str) -> None:
    """Raise TricksterError where a device's attention is not that of exact arithmetic, in a model's own shapes.

    Kernels of GPUs have let tokens see the ones after them, and have misread tensors that are views of others. Training
    then goes on without a word: the loss falls far below what can be learned, and samples are noise. Exact is what a
    processor computes in 64 bits by the definition.
    """
    length = min(model.max_seq_len, _LENGTH)
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    heads = (model.num_heads, model.num_kv_heads, model.num_kv_heads)
    # Views as the projections give them. What comes later is larger: seen where it must not be, it cannot be missed.
    growing = torch.linspace(0.1, 10.0, length)[:, None, None]
    shaped = [torch.randn(2, length, count, model.head_dim, generator=generator) for count in heads]
    shaped[2] *= growing
    q, k, v = (x.to(dtype).float().transpose(1, 2) for x in shaped)
    exact = _by_definition(q.double(), k.double(), v.double())
    q, k, v = (x.to(device, dtype).transpose(1, 2) for x in shaped)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        several = causal_attention(q, k, v)
        last = attention_of_the_last(q[:, :, -1:], k, v)
    for found, wanted in ((several, exact), (last, exact[:, :, -1:])):
        # Position by position: early ones are small, and are those that would see too much.
        strayed, whole = (torch.linalg.vector_norm(x, dim=(0, 1, 3)) for x in (found.cpu().double() - wanted, wanted))
        difference = strayed / whole
        if not difference.amax().item() <= _ROUNDING[precision]:
            raise TricksterError(
                "device-computes-wrong",
                f"This PyTorch ({torch.__version__}) computes attention incorrectly on {device.type} in {precision}: "
                f"the error is up to {difference.amax().item():.0%}. Training with it would be useless.",
                "Set training_config.precision: fp32, or device_config.device_type: cpu, or install another PyTorch.",
            )


def _by_definition(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k / sqrt(C)) v with what comes later left out (Vaswani et al. 2017, arXiv:1706.03762)."""
    heads, length = q.shape[1:3]
    k, v = (x.repeat_interleave(heads // x.shape[1], dim=1) for x in (k, v))
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = (q @ k.mT / q.shape[3] ** 0.5).masked_fill(later, -torch.inf)
    result: Tensor = scores.softmax(-1) @ v
    return result
