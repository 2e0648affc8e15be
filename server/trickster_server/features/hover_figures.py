"""The second half of a hover: what a key makes of this model, with its neighbours beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from trickster_engine.config.keys import Key
from trickster_engine.config.plan import Plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.config.starting_weights import INIT, StartingWeights
from trickster_engine.config.yaml.scalars import number_text
from trickster_engine.data import amounts
from trickster_engine.estimates.estimate import OPTIMAL_TOKENS_PER_PARAMETER
from trickster_engine.estimates.fitting import ASSUMED_UTILISATION, fit
from trickster_engine.estimates.machines import MACHINES, this_processor
from trickster_engine.estimates.memory import training_memory
from trickster_engine.system.units import duration_text, short_count_text, size_text, times_text
from trickster_server.features.lr_curve import picture
from trickster_server.features.model_figures import model_figures, model_summary, table
from trickster_server.hints.corpus import UNREAD, Corpus, training_tokens
from trickster_server.timing.boards import boards, training_time
from trickster_server.timing.speeds import Timing


@dataclass(frozen=True)
class Context:
    """What the figures of a hover are worked out from."""

    plan: Plan
    corpus: Corpus | None
    timing: Timing
    images: bool
    start: StartingWeights | None = None


_TIME_UNKNOWN = "known after a run of about this size"
_TEXT_KEYS = ("corpus", "val_fraction", "tokenizer", "line_ends", "train_data", "val_data")


def for_key(key: Key, context: Context) -> str:
    """The figures of a key; empty where it has none."""
    if key.path == INIT:
        return _starting_weights(context.start) if context.start is not None else ""
    if key.section == "model_config":
        return model_figures(key.name, context.plan)
    return _KEYS[key.path](context) if key.path in _KEYS else ""


def _starting_weights(start: StartingWeights) -> str:
    model = start.model
    own = "its own tokenizer" if start.has_tokenizer else "no tokenizer.json"
    return (
        f"`{start.folder}`: **{short_count_text(count_parameters(model).total)}** parameters in {start.precision} "
        f"({size_text(start.size)}); hidden_dim {model.hidden_dim}, {model.num_layers} blocks, "
        f"{model.num_heads} heads, vocab_size {model.vocab_size:,}, {own}, up to {model.max_seq_len:,} positions."
    )


def section_summary(name: str, context: Context) -> str:
    """A few lines about a section of this file; empty where there is nothing to reckon."""
    return _SECTIONS[name](context) if name in _SECTIONS else ""


# ---- the schedule ---------------------------------------------------------------------------------------------------


def _tokens_line(context: Context) -> str:
    plan = context.plan
    per_step = amounts.tokens_per_step(plan)
    steps = plan.training.max_steps
    words = f"**{per_step:,}** tokens per step, {short_count_text(per_step * steps)} in {steps:,} steps"
    text = training_tokens(plan, context.corpus)
    if text is not None:
        words += (
            f": {times_text(amounts.epochs(plan, text))} epochs of the training text ({short_count_text(text)} tokens)"
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
    here = context.timing.training_time(context.plan)
    time, source = (duration_text(here.seconds), here.as_words()) if here else ("?", _TIME_UNKNOWN)
    lines = ["| where | time for this run | |", "|:--|--:|:--|", f"| this machine | {time} | {source} |"]
    for board in boards():
        seconds, source = training_time(board, context.plan)
        lines.append(f"| {board.name} | {duration_text(seconds)} | {source} |")
    return "\n".join(lines)


def _batch(context: Context) -> str:
    plan = context.plan
    size = plan.training.batch_size
    rows = []
    for value in (size // 2, size, size * 2, size * 4):
        if value >= 1:
            rows.append((str(value), replace(plan, training=replace(plan.training, batch_size=value))))
    needed = training_memory(plan)
    share = f"Of {size_text(needed.total)}, {size_text(needed.activations + needed.logits)} grow with the batch."
    return "\n\n".join([table("batch_size", rows, str(size)), f"{_tokens_line(context)} {share}"])


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
    train = amounts.training_tokens(plan, corpus.characters) or 0
    words = (
        f"{corpus.characters:,} characters: {train:,} for training, {corpus.characters - train:,} for validation "
        f"({held_out:.0%}). Found at `{corpus.path}`."
    )
    tokens = training_tokens(plan, corpus)
    if tokens is None:
        return words
    optimal = OPTIMAL_TOKENS_PER_PARAMETER * count_parameters(plan.model).total
    return (
        f"{words}\n\nCompute-optimal for this model are about {short_count_text(optimal)} tokens "
        f"({OPTIMAL_TOKENS_PER_PARAMETER} per parameter, Hoffmann et al., 2022). This text has "
        f"{short_count_text(tokens)}, which is compute-optimal for "
        f"{short_count_text(tokens / OPTIMAL_TOKENS_PER_PARAMETER)} parameters."
    )


# ---- the tables -----------------------------------------------------------------------------------------------------


_KEYS: dict[str, Callable[[Context], str]] = {
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
    **dict.fromkeys((f"data_config.{name}" for name in _TEXT_KEYS), _text_figures),
    "device_config.device_type": _machines,
}
_SECTIONS: dict[str, Callable[[Context], str]] = {
    "model_config": lambda context: model_summary(context.plan),
    "training_config": _schedule,
    "data_config": _text_figures,
    "device_config": _machines,
}
