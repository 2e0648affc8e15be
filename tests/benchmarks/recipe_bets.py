"""What no config can say, as tried by `tests/benchmarks/recipes.py`: a backend with a variant's changes in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.benchmarks.recipe_variants import Variant
from trickster_engine.backends.base import Batch
from trickster_engine.backends.torch.backend import TorchBackend
from trickster_engine.backends.torch.muon import BatchedMuon, orthogonalize
from trickster_engine.config.plan import Plan
from trickster_engine.data.ngram_model import NgramModel
from trickster_engine.model.llama import Block, Llama


class VariedBackend(TorchBackend):
    """Trains as a variant says. It learns from `teachers`, finished models, and from `counts`, beside the text."""

    def __init__(self, plan: Plan, variant: Variant, teachers: Sequence[Llama], counts: NgramModel | None) -> None:
        super().__init__(plan, "cpu", teachers=teachers)
        self._variant = variant
        self._counts = counts
        self._clean: Tensor | None = None  # what the text says where its inputs were replaced
        self._further: nn.Linear | None = None
        if variant.further_tokens:
            self._further = nn.Linear(plan.model.hidden_dim, plan.model.vocab_size, bias=False)
            nn.init.normal_(self._further.weight, std=0.02)
            training = plan.training
            self._further_optimizer = torch.optim.AdamW(
                self._further.parameters(), training.learning_rate, (training.beta1, training.beta2)
            )
        self._muon_state: dict[nn.Parameter, Tensor] = {}
        if variant.normed_rows or variant.cautious:
            for optimizer, _ in self._optimizers._optimizers:
                if isinstance(optimizer, BatchedMuon):
                    optimizer.step = self._muon_step(optimizer)  # type: ignore[method-assign]

    def varied_step(self, batch: Batch, factor: float, progress: float, generator: np.random.Generator) -> None:
        """One update at `progress` (0 to 1) of the run."""
        variant = self._variant
        if variant.last_dropout is not None:
            for block in self.model.model.layers:
                assert isinstance(block, Block)
                block.dropout = variant.last_dropout * progress
        if variant.last_decay is not None:
            first = self._plan.training.weight_decay
            for optimizer, _ in self._optimizers._optimizers:
                for group in optimizer.param_groups:
                    if group["weight_decay"] > 0:
                        group["weight_decay"] = first + (variant.last_decay - first) * progress
        inputs, targets = batch
        self._clean = torch.from_numpy(inputs)
        share = (
            variant.replaced * min(1.0, (1 - progress) / variant.replaced_fades)
            if variant.replaced_fades
            else (variant.replaced)
        )
        if share > 0:
            inputs = replaced(inputs, share, variant.replaced_by, self._plan.model.vocab_size, generator)
        self._progress = progress
        self.step([(inputs, targets)], factor)
        if self._further is not None:
            for group in self._further_optimizer.param_groups:
                group["lr"] = self._plan.training.learning_rate * factor
            self._further_optimizer.step()
            self._further_optimizer.zero_grad()

    def _forward_pass(self, inputs: Tensor, targets: Tensor) -> Tensor:
        variant = self._variant
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            hidden = self.model.model(inputs, None)
            output = self.model.model.embed_tokens if self.model.lm_head is None else self.model.lm_head
            logits = F.linear(hidden, output.weight).flatten(0, 1).float()
            if self._further is not None:
                further = self._further(hidden[:, :-1]).flatten(0, 1).float()
        loss = F.cross_entropy(logits, targets.flatten())
        if self._further is not None:
            weight = variant.further_tokens * max(0.0, 1 - 2 * self._progress)
            loss = loss + weight * F.cross_entropy(further, targets[:, 1:].flatten())
        if variant.taught and self._clean is not None:
            # alpha of the loss against the teachers' probabilities, the rest against the text (Hinton et al. 2015,
            # arXiv:1503.02531, at temperature 1).
            loss = torch.lerp(loss, F.cross_entropy(logits, self._mean_probabilities(self._clean)), variant.taught)
        if self._counts is not None and self._progress < variant.counted_until and self._clean is not None:
            weight = variant.counted * (1 - self._progress / variant.counted_until)
            loss = torch.lerp(loss, F.cross_entropy(logits, counted_probabilities(self._counts, self._clean)), weight)
        if variant.consistency:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
                again = self.model(inputs).flatten(0, 1).float()
            first, second = logits.log_softmax(-1), again.log_softmax(-1)
            divergence = F.kl_div(first, second, reduction="batchmean", log_target=True)
            divergence = divergence + F.kl_div(second, first, reduction="batchmean", log_target=True)
            loss = (loss + F.cross_entropy(again, targets.flatten())) / 2 + variant.consistency * divergence / 2
        return loss

    @torch.no_grad()
    def _mean_probabilities(self, inputs: Tensor) -> Tensor:
        """The mean of the teachers' probabilities [B T, V]."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            parts = [teacher(inputs).flatten(0, 1).float().softmax(-1) for teacher in self._teachers]
        return torch.stack(parts).mean(0)

    def _muon_step(self, muon: BatchedMuon) -> Any:
        """Muon's update, with rows of one length (NorMuon, arXiv:2510.05491) or a decay only towards zero's side."""

        @torch.no_grad()
        def step(closure: Any = None) -> None:
            for group in muon.param_groups:
                for parameter in group["params"]:
                    gradient, buffer = parameter.grad, muon._momentum_buffer(parameter)
                    buffer.lerp_(gradient, 1 - group["momentum"])
                    update = gradient.lerp(buffer, group["momentum"])
                    tall = update.shape[0] > update.shape[1]
                    wide = (update.mT if tall else update)[None].to(torch.bfloat16)
                    direction = orthogonalize(wide, group["ns_coefficients"], group["ns_steps"], group["eps"])[0]
                    update = (direction.mT if tall else direction).float()
                    if self._variant.normed_rows:
                        length = update.norm()
                        squares = update.square().mean(1, keepdim=True)
                        kept = self._muon_state.setdefault(parameter, torch.zeros_like(squares))
                        kept.lerp_(squares, 1 - 0.95)
                        update = update / (kept.sqrt() + 1e-10)
                        update = update * (length / (update.norm() + 1e-10))
                    decay = group["lr"] * group["weight_decay"]
                    if self._variant.cautious:
                        parameter.sub_(parameter * (update * parameter > 0), alpha=decay)
                    else:
                        parameter.mul_(1 - decay)
                    rows, columns = parameter.shape
                    parameter.add_(update, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)

        return step


def counted_probabilities(counts: NgramModel, inputs: Tensor) -> Tensor:
    """What an n-gram model expects after each byte of inputs [B, T], from those before it in its row: [B T, 256]."""
    rows = [row.tobytes() for row in inputs.numpy().astype(np.uint8)]
    expected = [
        counts.probabilities(row[max(0, end - counts.order) : end]) for row in rows for end in range(1, len(row) + 1)
    ]
    return torch.from_numpy(np.stack(expected)).float()


def replaced(
    inputs: NDArray[np.int64], share: float, by: str, vocab_size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Inputs [B, T] with about a share of their tokens replaced: by any token, one of the batch's, or by token 0."""
    chosen = generator.random(inputs.shape) < share
    if by == "any":
        others = generator.integers(0, vocab_size, inputs.shape)
    elif by == "text":
        others = generator.permutation(inputs.ravel()).reshape(inputs.shape)
    else:
        others = np.zeros_like(inputs)
    return np.where(chosen, others, inputs)
