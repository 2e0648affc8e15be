"""Rules about how the weights are learned."""

from __future__ import annotations

from collections.abc import Iterator

from trickster_engine.config.limits import number_or_int
from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings, rule, tenth

STEPS = "training_config.max_steps"
WARMUP = "training_config.warmup_steps"
DECAY = "training_config.lr_decay_steps"
RESTART = "training_config.lr_restart_step"
RATE = "training_config.learning_rate"
LEAST_RATE = "training_config.min_learning_rate"
MUON_RATE = "training_config.muon_learning_rate"
OPTIMIZER = "training_config.optimizer"
BATCH = "training_config.batch_size"
ACCUMULATION = "training_config.gradient_accumulation_steps"
LENGTH = "model_config.max_seq_len"
LOG = "training_config.log_interval"
EVAL = "training_config.eval_interval"
SAVE = "training_config.save_interval"
PATIENCE = "training_config.early_stopping_patience"
CLIP = "training_config.grad_clip"
R_DROP = "training_config.r_drop"


@rule(WARMUP, STEPS)
def _warmup_ends(settings: Settings) -> Iterator[Problem]:
    warmup, steps = settings.integer(WARMUP), settings.integer(STEPS)
    if warmup >= steps:
        shorter = steps // 10
        message = (
            f"warmup_steps {warmup} must be less than max_steps {steps}: the learning rate would still be climbing "
            "when training ends. A tenth of max_steps is usual."
        )
        fixes = (
            settings.write(WARMUP, shorter, preferred=True, why="a tenth of max_steps"),
            settings.write(STEPS, warmup * 10, why="ten times warmup_steps") if warmup else None,
        )
        yield settings.problem("warmup-too-long", "error", message, WARMUP, STEPS, fixes=fixes)


@rule(DECAY, RESTART, WARMUP, STEPS)
def _curve_has_room(settings: Settings) -> Iterator[Problem]:
    decay, restart = settings.integer(DECAY), settings.integer(RESTART)
    warmup, end = settings.integer(WARMUP), decay or settings.integer(STEPS)
    if (decay or restart) and restart + warmup >= end and warmup < settings.integer(STEPS):
        begun = f"warms up again from lr_restart_step {restart} on, for" if restart else "climbs for"
        ends = f"lr_decay_steps {decay}" if decay else f"max_steps {end}"
        message = (
            f"The learning rate {begun} {warmup} steps, and must be back down at {ends}, which leaves no steps for "
            "the decay."
        )
        room = end - restart
        shorter = [settings.write(WARMUP, room // 10, preferred=True, why="a tenth of the steps there are")]
        fixes = shorter if room > 0 else []
        fixes += [settings.remove(path) for path in (DECAY, RESTART) if settings.is_given(path)]
        yield settings.problem("curve-too-short", "error", message, DECAY, RESTART, WARMUP, STEPS, fixes=tuple(fixes))


@rule(LEAST_RATE, RATE)
def _rate_falls(settings: Settings) -> Iterator[Problem]:
    least, rate = settings.number(LEAST_RATE), settings.number(RATE)
    if least > rate:
        message = (
            f"min_learning_rate {number_or_int(least)} must not exceed learning_rate {number_or_int(rate)}: the "
            "schedule decays from one to the other."
        )
        fixes = (
            settings.write(LEAST_RATE, tenth(rate), preferred=True, why="a tenth of learning_rate"),
            settings.remove(LEAST_RATE),
        )
        yield settings.problem("min-rate-above-rate", "error", message, LEAST_RATE, RATE, fixes=fixes)


@rule(RATE, OPTIMIZER)
def _rate_is_usual(settings: Settings) -> Iterator[Problem]:
    rate = settings.number(RATE)
    if rate > 0.01:
        message = (
            f"learning_rate {number_or_int(rate)} is very high for AdamW: the loss will probably jump or become NaN. "
            "Between 1e-4 and 3e-3 is usual."
        )
        fixes = (settings.write(RATE, 3e-4), settings.write(RATE, 1e-3))
        yield settings.problem("rate-very-high", "warning", message, RATE, fixes=fixes)


@rule(MUON_RATE, OPTIMIZER)
def _muon_rate_is_usual(settings: Settings) -> Iterator[Problem]:
    rate = settings.number(MUON_RATE)
    if settings.text(OPTIMIZER) == "muon" and rate > 0.2:
        message = f"muon_learning_rate {number_or_int(rate)} is very high. Between 0.01 and 0.05 is usual."
        yield settings.problem(
            "rate-very-high", "warning", message, MUON_RATE, fixes=(settings.write(MUON_RATE, 0.02),)
        )


def _on_the_way(path: str, otherwise: str) -> None:
    """Make a rule of something that should happen before the end, every so many steps."""

    @rule(path, STEPS)
    def on_the_way(settings: Settings) -> Iterator[Problem]:
        every, steps = settings.integer(path), settings.integer(STEPS)
        if every > steps:
            name = path.split(".")[1]
            message = f"{name} {every} is longer than the whole run (max_steps {steps}): {otherwise}"
            fixes = (settings.write(path, max(1, steps // 5), why="five times in the run"),)
            yield settings.problem("interval-longer-than-run", "information", message, path, STEPS, fixes=fixes)


_on_the_way(EVAL, "the validation loss is only measured at the end.")
_on_the_way(SAVE, "only the end is saved, and a crash loses all steps.")
_on_the_way(LOG, "the training loss is never shown during training.")


@rule(PATIENCE, EVAL, STEPS)
def _patience_can_end(settings: Settings) -> Iterator[Problem]:
    patience, every, steps = settings.integer(PATIENCE), settings.integer(EVAL), settings.integer(STEPS)
    evaluations = steps // every
    if patience and patience >= evaluations:
        message = (
            f"early_stopping_patience {patience} can never end this run early: there are only {evaluations} "
            f"evaluations (max_steps {steps} / eval_interval {every})."
        )
        fixes = (settings.write(PATIENCE, 0, why="off"), settings.write(EVAL, max(1, steps // (patience * 4))))
        yield settings.problem("patience-too-long", "information", message, PATIENCE, EVAL, STEPS, fixes=fixes)


@rule(BATCH, ACCUMULATION, LENGTH)
def _effective_batch(settings: Settings) -> Iterator[Problem]:
    batch, accumulation, length = settings.integer(BATCH), settings.integer(ACCUMULATION), settings.integer(LENGTH)
    sequences = batch * accumulation
    if sequences < 4:
        message = (
            f"Only {sequences} sequence{'s' if sequences > 1 else ''} per update (batch_size {batch} x "
            f"gradient_accumulation_steps {accumulation}), so its direction is mostly noise. 16 or more is usual."
        )
        fixes = (settings.write(ACCUMULATION, -(-16 // batch), why="16 sequences per update, with the same memory"),)
        yield settings.problem("effective-batch", "hint", message, BATCH, ACCUMULATION, fixes=fixes)
    elif sequences * length > 4_000_000:
        message = (
            f"Each update reads {sequences * length:,} tokens (batch_size {batch} x gradient_accumulation_steps "
            f"{accumulation} x max_seq_len {length}). A model of this kind learns faster from more, smaller updates."
        )
        yield settings.problem("effective-batch", "warning", message, BATCH, ACCUMULATION, LENGTH)


@rule(CLIP)
def _gradients_are_clipped(settings: Settings) -> Iterator[Problem]:
    if settings.number(CLIP) == 0:
        message = "Gradient clipping is off: a single bad batch can throw the weights far off. 1.0 is usual."
        yield settings.problem("no-clipping", "hint", message, CLIP, fixes=(settings.write(CLIP, 1.0),))
