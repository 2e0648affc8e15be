"""What the keys of `model_config` make of a model: its parameters, its memory, its computation, and its neighbours'."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.estimates.compute import count_compute, initial_loss
from trickster_engine.estimates.memory import training_memory
from trickster_engine.system.units import short_count_text, size_text


def model_summary(plan: Plan) -> str:
    """Parameters by part, and where the memory goes."""
    parts = count_parameters(plan.model)
    rows = [
        ("embedding", parts.embedding),
        ("attention", parts.attention),
        ("feed-forward", parts.mlp),
        ("norms", parts.norms),
        ("output", parts.output),
    ]
    lines = [
        f"{parts.total:,} parameters, {parts.per_block:,} per block:",
        "",
        "| part | parameters | share |",
        "|:--|--:|--:|",
    ]
    lines += [f"| {part} | {number:,} | {number / parts.total:.1%} |" for part, number in rows if number]
    return "\n".join(lines) + "\n\n" + _memory_line(plan)


def _memory_on_device(plan: Plan) -> int:
    """Bytes needed where the model is: on a GPU without the interpreter's own, in main memory with it."""
    needed = training_memory(plan)
    return needed.device if plan.device.device_type in ("cuda", "tt") else needed.total


def _memory_line(plan: Plan) -> str:
    """Where the memory goes while training."""
    needed = training_memory(plan)
    state = needed.weights + needed.gradients + needed.optimizer
    each = f" on each of {plan.device.devices} devices" if plan.device.devices > 1 else ""
    return (
        f"Training takes about **{size_text(needed.total)}**{each}: {size_text(state)} for weights, gradients and "
        f"optimizer, {size_text(needed.activations + needed.logits + needed.workspace)} for activations, "
        f"{size_text(needed.interpreter)} for torch itself."
    )


def _with(plan: Plan, name: str, value: object) -> Plan:
    return replace(plan, model=replace(plan.model, **{name: value}))  # type: ignore[arg-type]


def _rounded(value: float, unit: int) -> int:
    return max(unit, round(value / unit) * unit)


def _around(value: int, unit: int) -> list[int]:
    """The value with a quarter less, a quarter more and half as much again, in multiples of `unit`."""
    step = _rounded(value / 4, unit)
    near = value if value % unit == 0 else value // unit * unit  # the value itself may be one that does not fit
    return sorted({value, near - step, near, near + step, near + 2 * step})


def _widths(model: ModelConfig) -> list[int]:
    # Head width must stay whole and even; multiples of 32 suit every device.
    return _around(model.hidden_dim, math.lcm(2 * max(model.num_heads, 1), 32))


def _heads(model: ModelConfig) -> list[int]:
    share = 1 if model.num_kv_heads == model.num_heads else model.num_kv_heads
    fitting = [
        n
        for n in range(1, model.hidden_dim // 2 + 1)
        if model.hidden_dim % n == 0 and model.hidden_dim // n % 2 == 0 and n % share == 0
    ]
    return _nearest(fitting, model.num_heads)


def _kv_heads(model: ModelConfig) -> list[int]:
    return [n for n in range(1, model.num_heads + 1) if model.num_heads % n == 0][-4:]


def _nearest(values: Sequence[int], value: int) -> list[int]:
    return sorted(sorted(set(values) | {value}, key=lambda other: (abs(math.log(other / value)), -other))[:4])


_SHAPE: dict[str, Callable[[ModelConfig], list[int]]] = {
    "hidden_dim": _widths,
    "num_layers": lambda model: _around(model.num_layers, 1),
    "num_heads": _heads,
    "num_kv_heads": _kv_heads,
    "mlp_dim": lambda model: _around(model.mlp_dim, 32),
    "vocab_size": lambda model: [model.vocab_size, model.vocab_size * 2, model.vocab_size * 4, model.vocab_size * 32],
    "max_seq_len": lambda model: [
        model.max_seq_len // 2,
        model.max_seq_len,
        model.max_seq_len * 2,
        model.max_seq_len * 4,
    ],
}


def model_figures(name: str, plan: Plan) -> str:
    """What a key of `model_config` makes of a model, with its neighbours beside it; empty where it has no figures."""
    if name == "tie_embeddings":
        rows = [(str(value).lower(), _with(plan, name, value)) for value in (True, False)]
        return table(name, rows, str(plan.model.tie_embeddings).lower())
    return shape_table(name, plan) if name in _SHAPE else ""


def shape_table(name: str, plan: Plan) -> str:
    """The model with a few values of one of its sizes."""
    current = int(getattr(plan.model, name))
    rows = []
    for value in dict.fromkeys(_SHAPE[name](plan.model)):
        if value < 1:
            continue
        changed = _with(plan, name, value)
        if name == "num_heads" and plan.model.num_kv_heads == plan.model.num_heads:
            changed = _with(changed, "num_kv_heads", value)
        rows.append((str(value), changed))
    lines = [table(name, rows, str(current), heads=name in ("hidden_dim", "num_heads"))]
    parts = count_parameters(plan.model)
    if name in ("hidden_dim", "num_layers", "mlp_dim"):
        lines.append(
            f"This model: **{parts.total:,}** parameters, {parts.per_block:,} in each of "
            f"{plan.model.num_layers} blocks "
            f"(attention {parts.attention / parts.total:.0%}, feed-forward {parts.mlp / parts.total:.0%}, "
            f"embedding {(parts.embedding + parts.output) / parts.total:.0%})."
        )
    if name == "vocab_size":
        lines.append(f"The uniform-prediction loss is ln {current:,} = {initial_loss(plan.model):.3f} nats/token.")
    return "\n\n".join(lines)


def _head_width(model: ModelConfig) -> str:
    """The width of a head; a dash where the heads do not share the width out evenly."""
    return str(model.head_dim) if model.hidden_dim % model.num_heads == 0 else "\N{EM DASH}"


def table(name: str, rows: Sequence[tuple[str, Plan]], current: str, heads: bool = False) -> str:
    """One line for each value: what the model would be with it. A column that says the same everywhere is left out."""
    columns: dict[str, Callable[[Plan], str]] = {
        "head_dim": lambda plan: _head_width(plan.model) if heads else "",
        "parameters": lambda plan: short_count_text(count_parameters(plan.model).total),
        "memory": lambda plan: size_text(_memory_on_device(plan)),
        "FLOPs per step": lambda plan: short_count_text(count_compute(plan).per_step),
    }
    cells: dict[str, list[str]] = {}
    for value, plan in rows:
        try:
            cells[value] = [column(plan) for column in columns.values()]
        except (ArithmeticError, ValueError):  # a neighbour that is no model
            continue
    shown = [index for index in range(len(columns)) if len({row[index] for row in cells.values()}) > 1]
    titles = list(columns)
    lines = [
        "| " + " | ".join([name, *(titles[index] for index in shown)]) + " |",
        "|" + "--:|" * (len(shown) + 1),
    ]
    for value, row in cells.items():
        texts = [value, *(row[index] for index in shown)]
        lines.append("| " + " | ".join(f"**{text}**" if value == current else text for text in texts) + " |")
    return "\n".join(lines)
