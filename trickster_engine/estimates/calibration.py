"""How long an update takes on this machine, from a few small models that were timed on it once.

An update's time is a sum of parts, each an amount of work that follows from the plan times what a unit of it costs
here. The costs are found by `bench/calibrate.py`; this file knows the work, and needs no torch.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.shapes import block_matrices, count_parameters
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.estimates.compute import forward_flops_per_token, has_kernels, passes_per_update, worth_compiling
from trickster_engine.estimates.memory import block_activations, output_activations
from trickster_engine.system.files import read_json, write_json_atomically

FILE: Final = "calibration.2.json"  # the number is that of the form of its contents
#: How many times as fast an update is with blocks that torch compiled: between pico's 1.21 and nano's 1.16. It is not
#: part of the calibration, because compiling takes up to a minute.
COMPILED: Final = 1.18
#: The same with kernels of our own: pico's 1.34 and nano's (docs/speed.md).
FUSED: Final = 1.34
_ITERATIONS = 5  # of Muon's orthogonalisation

Amounts = dict[str, float]


@dataclass(frozen=True)
class Calibration:
    """Seconds that a unit of each kind of work takes on one kind of device of this machine."""

    device: str  # cpu, cuda or mps
    #: By precision, forward and backward passes: fp32, and bf16 where the device has it.
    gradients: Mapping[str, Mapping[str, float]]
    updates: Mapping[str, Mapping[str, float]]  # by optimizer, adamw and muon: clipping, and the optimizer's step

    def seconds_per_step(self, plan: Plan) -> float | None:
        """Seconds of one update of a plan on this device, evaluations not counted; None in a precision it has not."""
        training = plan.training
        precisions = [name for name in self.gradients if training.precision in ("auto", name)]
        if not precisions:
            return None
        passes = {name: _cost(gradient_work(plan, name, self.device), self.gradients[name]) for name in precisions}
        precision = min(passes, key=lambda name: passes[name])  # as a run chooses it
        work = update_work(plan.model, training.optimizer, precision, self.device)
        update = _cost(work, self.updates[training.optimizer])
        seconds = training.gradient_accumulation_steps * passes[precision] + update
        compiled = training.compile == "always" or (training.compile == "auto" and worth_compiling(plan, self.device))
        return seconds / (FUSED if has_kernels(self.device) else COMPILED) if compiled else seconds

    def seconds(self, plan: Plan) -> float | None:
        """Seconds of all updates of a plan."""
        seconds = self.seconds_per_step(plan)
        return None if seconds is None else seconds * plan.training.max_steps


def gradient_work(plan: Plan, precision: str, device: str) -> Amounts:
    """The work of one forward and backward pass: arithmetic, bytes kept and read again, and calls of torch."""
    model = plan.model
    tokens = tokens_per_step(plan) // plan.training.gradient_accumulation_steps
    if device != "cpu":  # processes on one CPU share its cores; each GPU is one more
        tokens = max(1, tokens // plan.device.devices)
    # With activation checkpointing each forward pass is done twice, and a teacher does one more. What is read twice
    # goes through the model at once: more is computed, in as many calls.
    recomputing = plan.training.activation_checkpointing
    again = (passes_per_update(plan) + recomputing * (1 + plan.reads_twice)) / 3
    calls = (3 + len(plan.training.teachers) + recomputing) / 3
    read = tokens * (1 + plan.reads_twice)
    kept = model.num_layers * block_activations(model, tokens, "bf16" if precision == "bf16" else "fp32")
    kept += output_activations(model, tokens, "fp32") + 8 * tokens * model.vocab_size
    return {
        "flops": again * 3 * forward_flops_per_token(model) * tokens,
        "bytes": again * kept,
        "dropped": 2.0 * model.num_layers * model.hidden_dim * read if model.dropout > 0 else 0.0,
        "blocks": calls * model.num_layers,
    }


def update_work(model: ModelConfig, optimizer: str, precision: str, device: str) -> Amounts:
    """The work of clipping the gradients and of the optimizer: weights, calls of torch, and Muon's arithmetic.

    Muon computes in bf16, except on a CPU that trains in fp32.
    """
    work = {"weights": float(count_parameters(model).total), "blocks": float(model.num_layers)}
    if optimizer != "muon":
        return work
    in_fp32 = device == "cpu" and precision == "fp32"
    flops = _muon_flops(model)
    return {**work, "muon_fp32": flops if in_fp32 else 0.0, "muon_bf16": 0.0 if in_fp32 else flops}


def _muon_flops(model: ModelConfig) -> float:
    """Three products for each iteration and matrix, of r rows and c columns: r x c by c x r, r x r by r x r and x c."""
    flops = 0.0
    for rows, columns in map(sorted, block_matrices(model)):
        flops += 2.0 * rows * rows * (2 * columns + rows)
    return _ITERATIONS * model.num_layers * flops


def _cost(work: Amounts, costs: Mapping[str, float]) -> float:
    return sum(amount * costs[name] for name, amount in work.items())


def read_calibrations(folder: Path) -> list[Calibration]:
    """The calibrations kept in the cache at `folder`; none where it holds none of this machine."""
    try:
        document = read_json(folder / FILE)
        return [Calibration(**entry) for entry in document[platform.node()]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep_calibration(folder: Path, calibration: Calibration) -> None:
    """Keep a calibration; it takes the place of an older one of the same device. Raises OSError."""
    others = [known for known in read_calibrations(folder) if known.device != calibration.device]
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomically(folder / FILE, {platform.node(): [asdict(known) for known in [*others, calibration]]})
