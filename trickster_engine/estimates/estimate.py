"""Everything that can be said about a config before it runs, in one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import ParameterCount, count_parameters
from trickster_engine.data.amounts import epochs, tokens_per_epoch, tokens_per_step, training_tokens
from trickster_engine.estimates.compute import Compute, count_compute, initial_loss
from trickster_engine.estimates.memory import (
    Precision,
    SamplingMemory,
    TrainingMemory,
    planned_precision,
    sampling_memory,
    training_memory,
)
from trickster_engine.system.units import count_text, flops_text, size_text

# How much text makes the best use of a given amount of computation, in tokens for each parameter. Source: Hoffmann and
# others, "Training Compute-Optimal Large Language Models" (Chinchilla), 2022, table 3: 20.2 billion tokens for a
# billion parameters, and much the same ratio from 0.4 to 67 billion. Smaller models were not among those measured.
OPTIMAL_TOKENS_PER_PARAMETER = 20


@dataclass(frozen=True)
class TextUse:
    """How much text a run reads. None where the length of the text is not known without looking at it."""

    tokens_per_step: int
    tokens_in_run: int
    training_tokens: int | None
    tokens_per_epoch: int | None
    epochs: float | None
    optimal_tokens: int  # that would make the best use of the computation, by Chinchilla's rule of thumb
    fed_parameters: int | None  # how large a model the text, read once, feeds by the same rule


@dataclass(frozen=True)
class Estimate:
    """What a config costs."""

    parameters: ParameterCount
    head_dim: int
    precision: Precision  # that the memory is reckoned with
    training_memory: TrainingMemory
    sampling_memory: SamplingMemory
    compute: Compute
    text: TextUse
    initial_loss: float  # nats, of a uniform prediction
    devices: int  # that train together, each with the training memory

    def as_json(self) -> dict[str, Any]:
        """Return the estimate as plain JSON: counts, bytes, operations, nats."""
        return {
            "parameters": asdict(self.parameters),
            "head_dim": self.head_dim,
            "precision": self.precision,
            "memory": {"training": self.training_memory.as_json(), "sampling": asdict(self.sampling_memory)},
            "compute": asdict(self.compute),
            "text": vars(self.text),
            "initial_loss": self.initial_loss,
        }

    def as_text(self) -> str:
        """Return the estimate for a terminal."""
        return "\n".join((*self.parameter_lines(), "", *self._memory_lines(), "", *self._work_lines()))

    def parameter_lines(self) -> list[str]:
        """The parameters by part, for a terminal."""
        parts = self.parameters
        rows = [
            ("token embedding", parts.embedding),
            ("attention", parts.attention),
            ("feed-forward", parts.mlp),
            ("norms", parts.norms),
        ]
        if parts.output:
            rows.append(("output layer", parts.output))
        lines = [f"{parts.total:,} parameters, {parts.per_block:,} in each block; head_dim {self.head_dim}"]
        lines += [f"  {name:<22}{count:>16,}  {count / parts.total:>6.1%}" for name, count in rows]
        if not parts.output:
            lines.append("  the output layer shares the embedding's weights")
        return lines

    def optimal_lines(self) -> list[str]:
        """How much text this model would make the best use of, beside how much there is."""
        text = self.text
        lines = [
            f"Compute-optimal by Chinchilla's rule of {OPTIMAL_TOKENS_PER_PARAMETER} tokens per parameter: "
            f"{count_text(text.optimal_tokens)} tokens"
        ]
        if text.training_tokens is not None and text.fed_parameters is not None:
            lines.append(
                f"  this text's {count_text(text.training_tokens)} tokens are compute-optimal for "
                f"{count_text(text.fed_parameters)} parameters"
            )
        return lines

    def _memory_lines(self) -> list[str]:
        memory, sampling = self.training_memory, self.sampling_memory
        rows = [
            ("Python and torch", memory.interpreter),
            ("weights", memory.weights),
            ("gradients", memory.gradients),
            ("optimizer", memory.optimizer),
            ("activations", memory.activations),
            ("logits and loss", memory.logits),
            ("workspace", memory.workspace),
            ("allocator fragmentation", memory.allocator),
        ]
        each = f" on each of {self.devices} devices" if self.devices > 1 else ""
        lines = [f"{size_text(memory.total)} of memory for training in {self.precision}{each} (estimated peak)"]
        lines += [f"  {name:<22}{size_text(size):>16}  {size / memory.total:>6.1%}" for name, size in rows]
        lines.append(
            f"{size_text(sampling.total)} for generation, {size_text(sampling.cache)} of it for the key-value cache"
        )
        return lines

    def _work_lines(self) -> list[str]:
        compute, text = self.compute, self.text
        lines = [
            f"{flops_text(compute.forward_per_token)} forward and {flops_text(compute.backward_per_token)} backward "
            f"per token ({compute.attention_share:.0%} of it attention)",
            f"{flops_text(compute.per_step)} per step, {flops_text(compute.total)} in the run",
            f"{text.tokens_per_step:,} tokens per step, {text.tokens_in_run:,} in the run",
        ]
        if text.epochs is not None and text.training_tokens is not None:
            lines.append(f"{text.training_tokens:,} training tokens, {text.epochs:.1f} epochs")
        lines += self.optimal_lines()
        lines.append(f"Uniform-prediction loss: ln V = {self.initial_loss:.4f} nats/token")
        return lines


def estimate(plan: Plan, text_tokens: int | None = None, precision: Precision | None = None) -> Estimate:
    """Estimate what a plan costs.

    `text_tokens` is the length of the whole text, validation part included, where it is known (it is for Tiny
    Shakespeare by bytes or characters); `precision` is what a run settled on, where there is one.
    """
    available = training_tokens(plan, text_tokens)
    per_step = tokens_per_step(plan)
    parameters = count_parameters(plan.model)
    return Estimate(
        parameters=parameters,
        head_dim=plan.model.head_dim,
        precision=precision or planned_precision(plan),
        training_memory=training_memory(plan, precision),
        sampling_memory=sampling_memory(plan.model),
        compute=count_compute(plan),
        text=TextUse(
            tokens_per_step=per_step,
            tokens_in_run=per_step * plan.training.max_steps,
            training_tokens=available,
            tokens_per_epoch=tokens_per_epoch(plan, available) if available is not None else None,
            epochs=epochs(plan, available) if available is not None else None,
            optimal_tokens=OPTIMAL_TOKENS_PER_PARAMETER * parameters.total,
            fed_parameters=available // OPTIMAL_TOKENS_PER_PARAMETER if available is not None else None,
        ),
        initial_loss=initial_loss(plan.model),
        devices=plan.device.devices,
    )
