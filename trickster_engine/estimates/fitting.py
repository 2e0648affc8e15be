"""Whether a config fits a machine, what would make it fit, and how fast the machine could be at best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from trickster_engine.config.plan import Plan
from trickster_engine.estimates.compute import count_compute
from trickster_engine.estimates.machines import Machine
from trickster_engine.estimates.memory import TrainingMemory, training_memory
from trickster_engine.system.units import duration_text, size_text

# What a driver, its kernels and pieces too small to use take of a chip's memory: an allowance, not a measurement.
USABLE_SHARE = 0.9
# The share of its peak that a machine is taken to reach. Well-tuned runs of very large models come near it (46 % in
# Chowdhery and others, "PaLM: Scaling Language Modeling with Pathways", 2022); small models stay far below.
ASSUMED_UTILISATION = 0.5
_TT_MULTIPLE = 32  # sequence lengths on a board
_SHORTEST = 32
_SHARED_BY = (2, 4, 8)


@dataclass(frozen=True)
class Change:
    """What to write instead, and what is needed then."""

    values: dict[str, int | bool | str]  # by the config's keys
    needed: int  # bytes on each chip
    same_update: bool  # whether a step still learns from the same number of tokens

    def as_text(self) -> str:
        """Return the lines to write in words."""
        written = {key.split(".")[1]: value for key, value in self.values.items()}
        return ", ".join(
            f"{name}: {str(value).lower() if isinstance(value, bool) else value}" for name, value in written.items()
        )


@dataclass(frozen=True)
class Fit:
    """A config on a machine."""

    machine: Machine
    memory: TrainingMemory  # of one chip; on a GPU or a board, `memory.device` of it has to fit
    needed: int  # bytes on each chip
    usable: int | None  # bytes of each chip
    change: Change | None  # what makes it fit where it does not; None where nothing short of a smaller model does
    fastest_s: float | None  # seconds, at the assumed share of the peak; None where no peak is known
    batch_size: int
    shared_by: int | None  # how many such GPUs hold the model together where one cannot; None where that is no way out

    @property
    def uneven(self) -> bool:
        """Whether the batch cannot be dealt to the chips in equal shares."""
        return self.batch_size % self.machine.chips != 0

    @property
    def fits(self) -> bool | None:
        """Whether there is room; None where the machine's memory is not known."""
        return None if self.usable is None else self.needed <= self.usable

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain JSON: bytes and seconds."""
        return {
            "machine": self.machine.name,
            "chips": self.machine.chips,
            "chip_memory": self.machine.memory,
            "needed": self.needed,
            "usable": self.usable,
            "fits": self.fits,
            "would_fit_with": None if self.change is None else self.change.values,
            "same_update": None if self.change is None else self.change.same_update,
            "shared_by": self.shared_by,
            "at_best_s": self.fastest_s,
            "assumed_utilisation": ASSUMED_UTILISATION,
            "measured": False,
            "memory": self.memory.as_json(),
            "source": self.machine.source,
        }

    def as_text(self) -> str:
        """Return what there is to say, for a terminal."""
        machine, memory = self.machine, self.memory
        chips = f"{machine.chips} chips of " if machine.chips > 1 else ""
        held = size_text(machine.memory) if machine.memory is not None else "memory of unknown size"
        state = memory.weights + memory.gradients + memory.optimizer
        flow = memory.activations + memory.logits + memory.workspace
        parts = f"weights, gradients and optimizer {size_text(state)}, activations {size_text(flow)}"
        if machine.device_type == "cpu":
            parts += f", Python, torch and its allocator {size_text(memory.interpreter + memory.allocator)}"
        where = " on each" if machine.chips > 1 else ""
        lines = [
            f"{machine.name}: {chips}{held}",
            f"  {self.verdict()}",
            f"  needs {size_text(self.needed)}{where}: {parts}",
            f"  {self.time_line()}",
            f"  source: {machine.source}",
        ]
        return "\n".join(lines)

    def verdict(self) -> str:
        """Return whether it fits, and what would make it fit, in one line."""
        if self.fits is None:
            return "not known whether it fits"
        if not self.fits:
            if self.change is None and self.shared_by is not None:
                return f"does not fit; fits on {self.shared_by} of them with sharding: full"
            if self.change is None:
                return "does not fit with any batch size: use a smaller model"
            kept = "the same update" if self.change.same_update else "a shorter context"
            return f"does not fit; fits with {self.change.as_text()} ({kept}, {size_text(self.change.needed)})"
        if self.uneven:
            return f"fits if batch_size ({self.batch_size}) is a multiple of its {self.machine.chips} chips"
        return "fits"

    def time_line(self) -> str:
        """Return how fast it could be, in one line that does not pass for a measurement."""
        if self.fastest_s is None or self.machine.peak is None:
            return "time: run `trickster estimate --measure` on that machine"
        peak = f"{self.machine.peak * self.machine.chips / 1e12:,.0f} TFLOPS"
        return (
            f"at best {duration_text(self.fastest_s)}: {ASSUMED_UTILISATION:.0%} of its peak of {peak}, an "
            "assumption, not a measurement; small models are slower"
        )


def fit(plan: Plan, machine: Machine) -> Fit:
    """Reckon what a plan needs on a machine, and what to change where that is too much."""
    there = _on(plan, machine)
    memory = training_memory(there)
    needed = _needed(memory, machine)
    usable = None if machine.memory is None else int(USABLE_SHARE * machine.memory)
    change = _change(there, machine, usable) if usable is not None and needed > usable else None
    fastest = None
    if machine.peak is not None:
        fastest = count_compute(plan).total / (machine.peak * machine.chips * ASSUMED_UTILISATION)
    shared_by = None
    if usable is not None and needed > usable and change is None:
        shared_by = _shared_by(there, machine, usable)
    return Fit(machine, memory, needed, usable, change, fastest, plan.training.batch_size, shared_by)


def _on(plan: Plan, machine: Machine) -> Plan:
    """Return the plan as it would be trained there: on all chips, each with the model and its share of the batch."""
    device = replace(
        plan.device,
        device_type=machine.device_type,
        mesh_shape=(1, machine.chips),
        enable_ddp=machine.chips > 1,
        sharding="none",
    )
    # A board keeps everything for the way back: there is no other way on it.
    recomputed = plan.training.activation_checkpointing and machine.device_type != "tt"
    return replace(plan, device=device, training=replace(plan.training, activation_checkpointing=recomputed))


def _shared_by(plan: Plan, machine: Machine, usable: int) -> int | None:
    """Return how many GPUs of a kind would have to share the model, each with one sequence at a time."""
    sequences = plan.training.batch_size * plan.training.gradient_accumulation_steps
    if machine.device_type != "cuda" or plan.training.optimizer != "adamw":
        return None
    for count in _SHARED_BY:
        if sequences % count == 0:
            device = replace(plan.device, mesh_shape=(1, count), enable_ddp=True, sharding="full")
            shared = replace(_portioned(plan, count, sequences // count), device=device)
            if _needed(training_memory(shared), machine) <= usable:
                return count
    return None


def _needed(memory: TrainingMemory, machine: Machine) -> int:
    # A GPU's memory is its own; processes of one machine share the main memory.
    return memory.total * machine.chips if machine.device_type == "cpu" else memory.device


def _change(plan: Plan, machine: Machine, usable: int) -> Change | None:
    """Return the smallest change that fits: a batch in more portions, else computing again, else a shorter context."""
    for candidate in _candidates(plan, machine):
        needed = _needed(training_memory(candidate), machine)
        if needed <= usable:
            training = candidate.training
            values: dict[str, int | bool | str] = {
                "training_config.batch_size": training.batch_size,
                "training_config.gradient_accumulation_steps": training.gradient_accumulation_steps,
            }
            if training.activation_checkpointing != plan.training.activation_checkpointing:
                values["training_config.activation_checkpointing"] = training.activation_checkpointing
            shorter = candidate.model.max_seq_len != plan.model.max_seq_len
            if shorter:
                values["model_config.max_seq_len"] = candidate.model.max_seq_len
            return Change(values, needed, same_update=not shorter)
    return None


def _candidates(plan: Plan, machine: Machine) -> Iterator[Plan]:
    """Yield plans that need less and less, those that change the least first."""
    sequences = plan.training.batch_size * plan.training.gradient_accumulation_steps
    sizes = [
        size
        for size in range(plan.training.batch_size - 1, 0, -1)
        if sequences % size == 0 and size % machine.chips == 0
    ]
    plans = [_portioned(plan, size, sequences // size) for size in sizes] or [plan]
    yield from plans
    if machine.device_type != "tt" and not plan.training.activation_checkpointing:
        plans = [replace(one, training=replace(one.training, activation_checkpointing=True)) for one in (plan, *plans)]
        yield from plans
    length = plan.model.max_seq_len // 2
    while length >= _SHORTEST:
        rounded = length // _TT_MULTIPLE * _TT_MULTIPLE if machine.device_type == "tt" else length
        yield replace(plans[-1], model=replace(plans[-1].model, max_seq_len=rounded))
        length //= 2


def _portioned(plan: Plan, batch_size: int, accumulation: int) -> Plan:
    training = replace(plan.training, batch_size=batch_size, gradient_accumulation_steps=accumulation)
    return replace(plan, training=training)
