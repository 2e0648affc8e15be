"""`teacher/` in a run's folder: a copy of the model that teaches it. Resuming learns from the copy alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs.directory import RunDirectory
from trickster_engine.runs.model_copy import copied_model, copy_model

TEACHER_FOLDER = "teacher"


def copy_teacher(run: RunDirectory, plan: Plan, source: Path) -> None:
    """Copy the model in `source` into a run whose lock is held. Raises TricksterError, and then leaves nothing."""
    copy_model(run, TEACHER_FOLDER, source, plan.training.distill_from, lambda config: _require_fit(plan, config))


def teacher_model(run: RunDirectory, plan: Plan, tokenizer: Tokenizer) -> tuple[ModelConfig, Mapping[str, Array]]:
    """The shape and the weights of a run's teacher, whose tokens must be those of the run. Raises TricksterError."""
    try:
        config, weights = copied_model(run, TEACHER_FOLDER)
    except TricksterError as error:
        raise TricksterError(
            "teacher-damaged",
            f"The copy of the model that teaches {run.id} is damaged or gone. {error.message}",
            "Restore it, or start a new run.",
        ) from error
    _require_fit(plan, config)
    if load_tokenizer(run.path / TEACHER_FOLDER).digest != tokenizer.digest:
        raise TricksterError(
            "teacher-tokenizer",
            f"The teacher in {plan.training.distill_from} was trained with another tokenizer, so its probabilities are "
            "those of other tokens.",
            "Set data_config.tokenizer to the tokenizer.json beside the teacher, or choose another teacher.",
        )
    return config, weights


def _require_fit(plan: Plan, config: ModelConfig) -> None:
    if config.vocab_size != plan.model.vocab_size or config.max_seq_len < plan.model.max_seq_len:
        raise TricksterError(
            "teacher-unusable",
            f"The teacher in {plan.training.distill_from} has {config.vocab_size} tokens and a context of "
            f"{config.max_seq_len}; the model has {plan.model.vocab_size} and {plan.model.max_seq_len}.",
            "Choose another teacher with training_config.distill_from.",
        )
