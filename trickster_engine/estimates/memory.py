"""How much memory a config needs, by part, on a CPU or GPU with torch.

The sizes follow from `model/llama.py`: what autograd keeps of one block was counted tensor by tensor, and the counts
below are exact (tests/engine/estimates compares them with torch's own saved tensors). What torch itself and the
interpreter take was measured. All figures are bytes; B is the batch, T the context, D the width, V the vocabulary.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Final, Literal

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.shapes import count_parameters, outer_shapes
from trickster_engine.model.query_blocks import query_blocks
from trickster_engine.system.files import MAX_ARRAYS_FILE_BYTES

Precision = Literal["fp32", "bf16"]

# Python with torch, its optimizers and its thread pools, and the prepared text, before any tensor of the model:
# measured on Linux, torch 2.13.
INTERPRETER: Final = 355_000_000
# What loading torch for sampling alone takes: no optimizers.
SAMPLING_INTERPRETER: Final = 265_000_000
# What the C library's allocator holds beyond what is in use, as a share of it: freed pieces that the next tensor does
# not fit into. Gradients that stay between two batches of one update tear larger holes. Measured on Linux over nine
# shapes (0.25 to 0.31 without, 0.77 to 0.94 with accumulation).
FRAGMENTATION: Final = 0.28
FRAGMENTATION_WITH_ACCUMULATION: Final = 0.83


@dataclass(frozen=True)
class TrainingMemory:
    """Memory while training, at its peak: at the turn from the forward to the backward pass."""

    total: int
    interpreter: int  # Python and torch itself; in main memory, also when the rest is on a GPU
    weights: int
    gradients: int
    optimizer: int
    activations: int  # kept by the forward pass for the backward pass
    logits: int  # the output layer, its loss and their gradients
    workspace: int  # the largest intermediate results of the backward pass; weights that shares are brought together to
    allocator: int  # freed memory in pieces that do not fit what is needed next; main memory only

    @property
    def device(self) -> int:
        """What of this must fit into a GPU that trains."""
        return self.total - self.interpreter - self.allocator

    def as_json(self) -> dict[str, int]:
        """Return the parts as plain JSON."""
        return {**asdict(self), "device": self.device}


@dataclass(frozen=True)
class SamplingMemory:
    """Memory while generating text."""

    total: int
    interpreter: int
    weights: int
    cache: int  # keys and values of the tokens so far
    workspace: int


def planned_precision(plan: Plan) -> Precision:
    """Return the precision to reckon with: bf16 where it is asked for or to be expected, else fp32."""
    if plan.training.precision == "auto":
        return "bf16" if plan.device.device_type in ("cuda", "tt") else "fp32"
    return "bf16" if plan.training.precision == "bf16" else "fp32"


def training_memory(plan: Plan, precision: Precision | None = None) -> TrainingMemory:
    """Estimate the peak memory of a training run. `precision` is what a run settled on, where that is known."""
    precision = precision or planned_precision(plan)
    model, training = plan.model, plan.training
    parameters = count_parameters(model)
    devices = plan.device.devices
    rows = max(1, training.batch_size // devices) * model.max_seq_len
    tokens = rows * (1 + plan.reads_twice)
    # What each device holds of the model: all of it, or its share.
    holders = devices if plan.device.sharding == "full" else 1
    weights = 4 * parameters.total // holders
    if training.optimizer == "muon":
        state = 4 * parameters.matrices + 8 * (parameters.total - parameters.matrices)
    else:
        state = 8 * parameters.total // holders
    device = "cpu" if plan.device.device_type == "auto" else plan.device.device_type
    on_cpu = device == "cpu"
    masked = plan.data.mask_documents
    block = block_activations(model, tokens, precision, device, masked=masked)
    # With activation checkpointing what goes into each block is kept, and all of one block at a time.
    recomputed = training.activation_checkpointing
    kept = model.num_layers * 4 * tokens * model.hidden_dim + block if recomputed else model.num_layers * block
    if precision == "bf16":  # the matrices' copies in bf16, kept for the backward pass
        copied = parameters.matrices // model.num_layers if recomputed else parameters.matrices
        kept += 2 * (copied + parameters.embedding)
    if masked:  # once for all blocks
        kept += tokens * model.max_seq_len * (4 if precision == "fp32" else 2)
    logits = output_activations(model, tokens, precision)
    # The loss's gradient, twice over, or the widest gradients of the last block: they come one after the other.
    loss_gradients = 8 * tokens * model.vocab_size
    block_gradients = (4 if precision == "fp32" else 2) * tokens * (3 * model.mlp_dim + 2 * model.hidden_dim)
    # Teachers, reckoned as large as the model (estimates/compute.py), are whole on each device. Of what they say the
    # mean is kept, and comparing it with two readings needs as much again at its peak; a loss that is no cross-entropy
    # needs both readings once more.
    teachers = len(training.teachers)
    said = 4 * rows * model.vocab_size
    logits += said * (bool(teachers) * (1 + plan.reads_twice))
    if plan.reads_twice and training.loss != "cross_entropy":
        logits += 2 * said
    parts = {
        "interpreter": INTERPRETER,
        "weights": weights + 4 * parameters.total * teachers,
        "gradients": weights,
        "optimizer": state,
        "activations": kept,
        "logits": logits + loss_gradients,
        "workspace": max(0, block_gradients - loss_gradients),
    }
    if holders > 1:
        parts["workspace"] += gathered_weights(model)
        if on_cpu:
            # To save, one process puts together what goes into one file, when nothing else is held but the shares.
            saved = min(MAX_ARRAYS_FILE_BYTES, 8 * parameters.total)
            fleeting = sum(parts[name] for name in ("gradients", "activations", "logits", "workspace"))
            parts["workspace"] += max(0, saved - fleeting)
    fleeting = parts["activations"] + parts["logits"] + parts["workspace"]
    share = FRAGMENTATION_WITH_ACCUMULATION if training.gradient_accumulation_steps > 1 else FRAGMENTATION
    # Processes that share the model give large pieces back at once (training/torchrun.py).
    torn = on_cpu and holders == 1
    parts["allocator"] = int(share * fleeting) if torn else 0
    return TrainingMemory(total=sum(parts.values()), **parts)


def block_activations(
    model: ModelConfig, tokens: int, precision: Precision, device: str = "cpu", *, masked: bool = False
) -> int:
    """Return the bytes that one block keeps for the backward pass, over `tokens` tokens in whole contexts.

    In fp32, by token: eight rows of the width (the two norms' inputs, normed values and outputs, the queries, and
    attention's output), keys and values, and four rows of the feed-forward's width; a mask for each of the two
    dropouts. In bf16 the residual stream and the norms stay in fp32, and what the matrices read and write is halved.
    Where attention is plain products (`model/attention.py`: on a CPU in bf16, on Apple's GPU always) it keeps its
    weights too, and keys and values for every head; not where documents are `masked`.
    """
    width, kv_width = model.hidden_dim, model.kv_dim
    dropout = 2 * width if model.dropout > 0 else 0
    keys = mean_keys(model.max_seq_len)
    if precision == "fp32":
        row = 32 * width + 8 * kv_width + 16 * model.mlp_dim + 4 * model.num_heads + 8 + dropout
        return tokens * (row + (4 * model.num_heads * (keys - 1) + 8 * (width - kv_width) if device == "mps" else 0))
    row = 22 * width + 8 * model.mlp_dim + 8 + dropout
    rotation = 8 * model.max_seq_len * model.head_dim
    if masked or device not in ("cpu", "mps"):
        return tokens * (row + 2 * width + 4 * kv_width + 4 * model.num_heads) + rotation
    return tokens * (row + 6 * width + 2 * model.num_heads * keys) + rotation


def mean_keys(length: int) -> int:
    """Return for how many keys, on average, a query's weights are computed in plain products."""
    return sum((last - first) * last for first, last in query_blocks(length)) // max(1, length)


def gathered_weights(model: ModelConfig) -> int:
    """Return the bytes of weights, and of gradients, that a device brings together from all shares at one time.

    The outermost weights (embedding, last norm, output layer) stay together from their way forward to their way back,
    where their gradients join them. Of the blocks there are the one at work, its gradients on their way out, and the
    next one on its way in, which is copied once.
    """
    outermost = sum(prod(shape) for shape in outer_shapes(model).values())
    return 4 * (2 * outermost + 4 * count_parameters(model).per_block)


def output_activations(model: ModelConfig, tokens: int, precision: Precision) -> int:
    """Return the bytes that the final norm, the output layer and the loss keep for the backward pass."""
    width = 12 * model.hidden_dim if precision == "fp32" else 10 * model.hidden_dim
    return tokens * (4 * model.vocab_size + width + 12)


def sampling_memory(model: ModelConfig, batch_size: int = 1) -> SamplingMemory:
    """Estimate the memory of generating `batch_size` texts at once, in fp32."""
    cache = 2 * model.num_layers * batch_size * model.max_seq_len * model.kv_dim * 4
    # Reading the prompt is the widest moment: the window at full length through one block, and its logits.
    window = batch_size * model.max_seq_len
    workspace = 4 * window * (6 * model.hidden_dim + 3 * model.mlp_dim + model.vocab_size)
    weights = 4 * count_parameters(model).total
    parts = {"interpreter": SAMPLING_INTERPRETER, "weights": weights, "cache": cache, "workspace": workspace}
    return SamplingMemory(total=sum(parts.values()), **parts)
