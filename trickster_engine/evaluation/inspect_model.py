"""A look at a model before it has learned anything: its parts, its shapes, its first loss, its noise."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import ParameterCount
from trickster_engine.data.prepare import prepare
from trickster_engine.estimates.estimate import estimate
from trickster_engine.evaluation.compare import held_out_loss
from trickster_engine.evaluation.report.names import title
from trickster_engine.inference.load import model_to_begin_with
from trickster_engine.inference.sampling import SamplingOptions, sample
from trickster_engine.model.llama import Llama

#: Tokens of validation text that the first loss is taken over; random weights need no more to show ln V.
_TOKENS = 8192


@dataclass(frozen=True)
class LayerShape:
    """What one part of the model gives out in a forward pass."""

    name: str
    kind: str
    output: tuple[int, ...]


@dataclass(frozen=True)
class Inspection:
    """Everything `trickster inspect` shows. Losses in nats."""

    parameters: ParameterCount
    breakdown: list[str]  # the parameters in words
    shapes: list[LayerShape]
    random_loss: float
    uniform_loss: float
    prompt: str
    noise: str
    name: str  # of this model in words: untrained, or starting weights

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)

    def as_text(self) -> str:
        """The same for a terminal."""
        lines = list(self.breakdown)
        lines += ["", "A forward pass over one sequence:"]
        lines += [f"  {shape.name:<42}{shape.kind:<12}{list(shape.output)}" for shape in self.shapes]
        lines += [
            "",
            f"Validation loss before training: {self.random_loss:.4f} nats/token; uniform prediction: ln V = "
            f"{self.uniform_loss:.4f}",
            "",
            f"A sample of the {self.name}:",
            self.prompt + self.noise,
        ]
        return "\n".join(lines)


def inspect_model(plan: Plan, folder: Path) -> Inspection:
    """Build the model as training begins with it and run it once. Raises TricksterError where the text is missing."""
    dataset = prepare(plan, folder)
    model, name = model_to_begin_with(plan, folder)
    options = SamplingOptions.from_config(plan.sampling)
    costs = estimate(plan)
    return Inspection(
        parameters=costs.parameters,
        breakdown=costs.parameter_lines(),
        shapes=_forward_shapes(model),
        random_loss=held_out_loss(model, dataset.val[:_TOKENS]),
        uniform_loss=math.log(plan.model.vocab_size),
        prompt=plan.sampling.prompt,
        noise=sample(model, dataset.tokenizer, plan.sampling.prompt, options),
        name=title(name),
    )


@torch.no_grad()
def _forward_shapes(model: Llama) -> list[LayerShape]:
    """Output shapes of the embedding, of everything in the first block, of the last norm and of the whole."""
    shapes: list[LayerShape] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            shapes.append(LayerShape(name, type(module).__name__, tuple(output.shape)))

        return hook

    handles = []
    for name, module in model.named_modules():
        other_block = ".layers." in name and ".layers.0" not in name
        if not other_block and not name.endswith(("rotary", "layers")) and name != "model":
            handles.append(module.register_forward_hook(note(name or "logits")))
    try:
        model(torch.zeros(1, model.config.max_seq_len, dtype=torch.long))
    finally:
        for handle in handles:
            handle.remove()
    return shapes
