"""What the optimizer minimises. Validation is always plain cross-entropy in nats."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trickster_engine.config.plan import TrainingConfig


def training_loss(logits: Tensor, targets: Tensor, training: TrainingConfig, taught: Tensor | None = None) -> Tensor:
    """Mean loss over logits [B, T, V] and targets [B, T], as the config names it.

    `taught` [B, T, V] are the probabilities of a teacher, or the mean of several. Their share of the loss is the
    cross-entropy against them, which has the gradient of the Kullback-Leibler divergence (Hinton et al. 2015,
    arXiv:1503.02531, at temperature 1).
    """
    flat_logits, flat_targets = logits.flatten(0, 1).float(), targets.flatten()
    if taught is not None:
        return _cross_entropy(flat_logits.log_softmax(-1), flat_targets, training, taught)
    if training.loss == "label_smoothing":
        return F.cross_entropy(flat_logits, flat_targets, label_smoothing=training.label_smoothing)
    loss = F.cross_entropy(flat_logits, flat_targets, reduction="none" if training.loss == "focal" else "mean")
    if training.loss == "focal":
        # (1 - p)^gamma * -log p: what is already predicted well counts for less (Lin et al. 2017, arXiv:1708.02002).
        # At p = 1 the power has no slope where gamma is less than 1: the least number above 0 stands in for 0.
        missed = (1.0 - (-loss).exp()).clamp_min(torch.finfo(loss.dtype).tiny)
        return (missed**training.focal_gamma * loss).mean()
    return loss


def twice_read_loss(logits: Tensor, targets: Tensor, training: TrainingConfig, taught: Tensor | None = None) -> Tensor:
    """Mean loss over logits [2 B, T, V] of a batch that was read twice, and so much of the divergence as `r_drop` says.

    The divergence is the mean of both Kullback-Leibler divergences between the two predictions of a token (R-Drop,
    Liang et al. 2021, arXiv:2106.14448; its alpha is twice `r_drop`, as its loss is the sum of the two readings').
    """
    readings = logits.float().log_softmax(-1).chunk(2)
    if training.loss == "cross_entropy":
        flat_targets = targets.flatten()
        losses = [_cross_entropy(reading.flatten(0, 1), flat_targets, training, taught) for reading in readings]
    else:  # logarithms of probabilities are logits too, of the same probabilities
        losses = [training_loss(reading, targets, training) for reading in readings]
    loss = (losses[0] + losses[1]) / 2
    apart: Tensor = _Divergence.apply(*readings)  # type: ignore[no-untyped-call]
    return torch.add(loss, apart, alpha=training.r_drop / 2)


def _cross_entropy(
    log_probabilities: Tensor, targets: Tensor, training: TrainingConfig, taught: Tensor | None
) -> Tensor:
    """Of log probabilities [N, V] against targets [N], and with a share of it against a teacher's [B, T, V]."""
    by_text = F.nll_loss(log_probabilities, targets)
    if taught is None:
        return by_text
    by_teacher = -(taught.flatten(0, 1) * log_probabilities).sum(-1).mean()
    return torch.lerp(by_text, by_teacher, training.distill_weight)


class _Divergence(torch.autograd.Function):
    """KL(p|q) + KL(q|p), a mean over tokens, of log p and log q [B, T, V]: all that it keeps is there already."""

    @staticmethod
    def forward(ctx: Any, log_p: Tensor, log_q: Tensor) -> Tensor:
        ctx.save_for_backward(log_p, log_q)
        return log_p.exp().sub_(log_q.exp()).mul_(log_p - log_q).sum(-1).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        log_p, log_q = ctx.saved_tensors
        slope = slope / log_p[..., 0].numel()
        p, q = log_p.exp(), log_q.exp()
        between, ratio = p - q, log_p - log_q
        return p.mul_(ratio).add_(between).mul_(slope), q.mul_(ratio).add_(between).mul_(-slope)


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over all targets in double precision so that batching does not matter.

    The sum lies on the device; on Apple's GPUs, which have no double precision, on the host.
    """
    losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return (losses.cpu() if losses.is_mps else losses).double().sum()
