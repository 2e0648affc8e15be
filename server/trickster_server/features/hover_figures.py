"""The second half of a hover: what a key makes of this model, with its neighbours beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trickster_engine.config.keys import Key
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.yaml.scalars import number_text
from trickster_engine.estimates import MACHINES, compute, fit
from trickster_engine.estimates.estimate import OPTIMAL_TOKENS_PER_PARAMETER
from trickster_engine.estimates.fitting import ASSUMED_UTILISATION
from trickster_engine.estimates.machines import this_processor
from trickster_engine.system.units import duration_text, short_count_text, size_text, times_text
from trickster_server.features import figures
from trickster_server.features.lr_curve import picture
from trickster_server.hints.corpus import UNREAD
from trickster_server.hints.machine import Corpus
from trickster_server.timing.speeds import Timing


@dataclass(frozen=True)
class Context:
    """What the figures of a hover are worked out from."""

    plan: Plan
    corpus: Corpus | None
    timing: Timing
    images: bool


_TEXT_KEYS = tuple(
    f"data_config.{name}" for name in ("corpus", "val_fraction", "tokenizer", "line_ends", "train_data", "val_data")
)


def for_key(key: Key, context: Context) -> str:
    """The figures of a key; empty where it has none."""
    plan = context.plan
    if key.section == "model_config":
        if key.name in _SHAPE:
            return _shape_table(key.name, context)
        if key.name == "tie_embeddings":
            return _table(
                "tie_embeddings",
                [(str(value).lower(), _with(plan, "tie_embeddings", value)) for value in (True, False)],
                str(plan.model.tie_embeddings).lower(),
            )
        return ""
    if key.path in _SCHEDULE:
        return _SCHEDULE[key.path](context)
    if key.path in _TEXT_KEYS:
        return _text_figures(context)
    if key.path == "device_config.device_type":
        return _machines(context)
    return ""


def section_summary(name: str, context: Context) -> str:
    """One line about a section of this file."""
    plan = context.plan
    if name == "model_config":
        parts = figures.parameters(plan)
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
    if name == "training_config":
        return _schedule(context)
    if name == "data_config":
        return _text_figures(context)
    if name == "device_config":
        return _machines(context)
    return ""


def _memory_line(plan: Plan) -> str:
    """Where the memory goes while training."""
    needed = figures.training_memory(plan)
    state = needed.weights + needed.gradients + needed.optimizer
    each = f" on each of {plan.device.devices} devices" if plan.device.devices > 1 else ""
    return (
        f"Training takes about **{size_text(needed.total)}**{each}: {size_text(state)} for weights, gradients and "
        f"optimizer, {size_text(needed.activations + needed.logits + needed.workspace)} for activations, "
        f"{size_text(needed.interpreter)} for torch itself."
    )


# ---- the shape ------------------------------------------------------------------------------------------------------


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


def _shape_table(name: str, context: Context) -> str:
    plan = context.plan
    current = int(getattr(plan.model, name))
    rows = []
    for value in dict.fromkeys(_SHAPE[name](plan.model)):
        if value < 1:
            continue
        changed = _with(plan, name, value)
        if name == "num_heads" and plan.model.num_kv_heads == plan.model.num_heads:
            changed = _with(changed, "num_kv_heads", value)
        rows.append((str(value), changed))
    lines = [_table(name, rows, str(current), heads=name in ("hidden_dim", "num_heads"))]
    parts = figures.parameters(plan)
    if name in ("hidden_dim", "num_layers", "mlp_dim"):
        lines.append(
            f"This model: **{parts.total:,}** parameters, {parts.per_block:,} in each of "
            f"{plan.model.num_layers} blocks "
            f"(attention {parts.attention / parts.total:.0%}, feed-forward {parts.mlp / parts.total:.0%}, "
            f"embedding {(parts.embedding + parts.output) / parts.total:.0%})."
        )
    if name == "vocab_size":
        lines.append(f"The uniform-prediction loss is ln {current:,} = {figures.uniform_loss(plan):.3f} nats/token.")
    return "\n\n".join(lines)


def _head_width(model: ModelConfig) -> str:
    """The width of a head; a dash where the heads do not share the width out evenly."""
    return str(model.head_dim) if model.hidden_dim % model.num_heads == 0 else "\N{EM DASH}"


def _table(name: str, rows: Sequence[tuple[str, Plan]], current: str, heads: bool = False) -> str:
    """One line for each value: what the model would be with it. A column that says the same everywhere is left out."""
    columns: dict[str, Callable[[Plan], str]] = {
        "head_dim": lambda plan: _head_width(plan.model) if heads else "",
        "parameters": lambda plan: short_count_text(figures.parameters(plan).total),
        "memory": lambda plan: size_text(figures.memory_on_device(plan)),
        "FLOPs per step": lambda plan: short_count_text(figures.flops_per_step(plan)),
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


# ---- the schedule ---------------------------------------------------------------------------------------------------


def _tokens_line(context: Context) -> str:
    plan = context.plan
    per_step = figures.tokens_per_step(plan)
    steps = plan.training.max_steps
    words = f"**{per_step:,}** tokens per step, {short_count_text(per_step * steps)} in {steps:,} steps"
    text = figures.training_tokens(plan, context.corpus.characters if context.corpus is not None else None)
    if text is not None:
        words += (
            f": {times_text(figures.epochs(plan, text))} epochs of the training text ({short_count_text(text)} tokens)"
        )
    return words + "."


def _schedule(context: Context) -> str:
    training = context.plan.training
    warm = f"{training.warmup_steps:,} of {training.max_steps:,} steps are warm-up"
    share = f" ({training.warmup_steps / training.max_steps:.1%})" if training.max_steps else ""
    return "\n\n".join([picture(training, context.images), f"{_tokens_line(context)} {warm}{share}."])


def _steps(context: Context) -> str:
    return "\n\n".join([_schedule(context), _time_table(context)])


def _time_table(context: Context) -> str:
    """How long the run takes, and where each figure comes from."""
    rows = context.timing.table(context.plan)
    lines = ["| where | time for this run | |", "|:--|--:|:--|"]
    if not any(row.where == "this machine" for row in rows):
        lines.append("| this machine | ? | known after a run of about this size |")
    lines += [f"| {row.where} | {duration_text(row.seconds)} | {row.source}{row.note} |" for row in rows]
    return "\n".join(lines)


def _batch(context: Context) -> str:
    plan = context.plan
    size = plan.training.batch_size
    rows = []
    for value in (size // 2, size, size * 2, size * 4):
        if value >= 1:
            rows.append((str(value), replace(plan, training=replace(plan.training, batch_size=value))))
    needed = figures.training_memory(plan)
    share = f"Of {size_text(needed.total)}, {size_text(needed.activations + needed.logits)} grow with the batch."
    return "\n\n".join([_table("batch_size", rows, str(size)), f"{_tokens_line(context)} {share}"])


def _rate(context: Context) -> str:
    training = context.plan.training
    low, down = number_text(training.min_learning_rate), training.lr_decay_steps or training.max_steps
    again, first_down = training.lr_restart_step, training.lr_restart_step or down
    words = (
        f"Climbs for {training.warmup_steps:,} steps to {number_text(training.learning_rate)}, then falls along a "
        f"{training.lr_schedule} curve to {low} at step {first_down:,}."
    )
    if again:
        words += f" There it warms up again, and is back at {low} at step {down:,}."
    if down < training.max_steps:
        words += f" It stays at {low} until step {training.max_steps:,}."
    return "\n\n".join([picture(training, context.images), words])


def _every(name: str) -> Callable[[Context], str]:
    def words(context: Context) -> str:
        training = context.plan.training
        interval = int(getattr(training, name))
        if interval < 1:
            return ""
        return f"{training.max_steps // interval:,} times in {training.max_steps:,} steps."

    return words


_SCHEDULE: dict[str, Callable[[Context], str]] = {
    "training_config.max_steps": _steps,
    "training_config.warmup_steps": _rate,
    "training_config.learning_rate": _rate,
    "training_config.min_learning_rate": _rate,
    "training_config.lr_schedule": _rate,
    "training_config.lr_decay_steps": _rate,
    "training_config.lr_restart_step": _rate,
    "training_config.batch_size": _batch,
    "training_config.gradient_accumulation_steps": _tokens_line,
    "training_config.log_interval": _every("log_interval"),
    "training_config.eval_interval": _every("eval_interval"),
    "training_config.save_interval": _every("save_interval"),
}


# ---- machines -------------------------------------------------------------------------------------------------------


def _machines(context: Context) -> str:
    """Which machines this config fits, what would make it fit, and how fast they could be at best."""
    lines = ["| machine | needs | of | | at best | by |", "|:--|--:|--:|:--|--:|:--|"]
    for machine in (this_processor(), *MACHINES):
        there = fit(context.plan, machine)
        each = f"{machine.chips} x " if machine.chips > 1 else ""
        room = size_text(machine.memory) if machine.memory is not None else "?"
        fastest = duration_text(there.fastest_s) if there.fastest_s is not None else ""
        cells = (machine.name, size_text(there.needed), each + room, there.verdict(), fastest, machine.paper)
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Memory is estimated for torch, per chip. *At best* assumes {ASSUMED_UTILISATION:.0%} of the peak in the "
        "maker's specification, which nobody measured and small models do not reach. `trickster estimate --for` has "
        "the details.",
    ]
    return "\n".join(lines)


# ---- the text -------------------------------------------------------------------------------------------------------


def _text_figures(context: Context) -> str:
    corpus = context.corpus
    words = _text_words(context)
    if corpus is None or corpus.facts is None:
        return words
    facts = corpus.facts
    unread = "" if facts.content is not None else UNREAD
    return "\n\n".join(part for part in (facts.as_markdown(), unread, words) if part)


def _text_words(context: Context) -> str:
    plan, corpus = context.plan, context.corpus
    if corpus is None or plan.data.train_data is not None:
        return ""
    if not corpus.present:
        return "Not on this machine yet." if plan.data.corpus == "shakespeare" else "Not found."
    held_out = plan.data.val_fraction
    if corpus.characters is None:
        return f"Found at `{corpus.path}`."
    train = compute.training_tokens(plan, corpus.characters) or 0
    words = (
        f"{corpus.characters:,} characters: {train:,} for training, {corpus.characters - train:,} for validation "
        f"({held_out:.0%}). Found at `{corpus.path}`."
    )
    tokens = figures.training_tokens(plan, corpus.characters)
    if tokens is None:
        return words
    optimal = OPTIMAL_TOKENS_PER_PARAMETER * figures.parameters(plan).total
    return (
        f"{words}\n\nCompute-optimal for this model are about {short_count_text(optimal)} tokens "
        f"({OPTIMAL_TOKENS_PER_PARAMETER} per parameter, Hoffmann et al., 2022). This text has "
        f"{short_count_text(tokens)}, which is compute-optimal for "
        f"{short_count_text(tokens / OPTIMAL_TOKENS_PER_PARAMETER)} parameters."
    )
