"""What a config costs, worked out without running it: parameters, memory, computation, text. No torch here."""

from trickster_engine.config.shapes import ParameterCount, count_parameters
from trickster_engine.data.amounts import epochs, tokens_per_epoch, tokens_per_step, training_tokens
from trickster_engine.estimates.compute import Compute, count_compute, initial_loss
from trickster_engine.estimates.estimate import (
    Estimate,
    TextUse,
    estimate,
)
from trickster_engine.estimates.fitting import Change, Fit, fit
from trickster_engine.estimates.learning_rate import learning_rate_at
from trickster_engine.estimates.machines import MACHINES, Machine, find_machine, machine_keys
from trickster_engine.estimates.memory import SamplingMemory, TrainingMemory, sampling_memory, training_memory

__all__ = [
    "MACHINES",
    "Change",
    "Compute",
    "Estimate",
    "Fit",
    "Machine",
    "ParameterCount",
    "SamplingMemory",
    "TextUse",
    "TrainingMemory",
    "count_compute",
    "count_parameters",
    "epochs",
    "estimate",
    "find_machine",
    "fit",
    "initial_loss",
    "learning_rate_at",
    "machine_keys",
    "sampling_memory",
    "tokens_per_epoch",
    "tokens_per_step",
    "training_memory",
    "training_tokens",
]
