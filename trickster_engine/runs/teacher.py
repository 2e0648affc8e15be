"""`teacher/`, `teacher-2/` … in a run's folder: copies of the models that teach it. Resuming learns from them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs.directory import TEACHER_FOLDERS, RunDirectory
from trickster_engine.runs.model_copy import copied_model, copy_model
from trickster_engine.system.replace_folder import discard


def copy_teachers(run: RunDirectory, plan: Plan, sources: Sequence[Path]) -> None:
    """Copy the models in `sources`, those that the plan names, into a run whose lock is held.

    Raises TricksterError, and then leaves nothing.
    """
    named = list(zip(TEACHER_FOLDERS, plan.training.teachers, sources, strict=False))
    try:
        for folder, written, source in named:
            copy_model(run, folder, source, written, partial(_require_fit, plan, written))
    except BaseException:
        for folder, _, _ in named:
            discard(run.path / folder)
        raise


def teacher_models(
    run: RunDirectory, plan: Plan, tokenizer: Tokenizer
) -> list[tuple[ModelConfig, Mapping[str, Array]]]:
    """The shapes and the weights of a run's teachers, whose tokens must be those of the run. Raises TricksterError."""
    named = zip(TEACHER_FOLDERS, plan.training.teachers, strict=False)
    return [_teacher_model(run, plan, tokenizer, folder, written) for folder, written in named]


def _teacher_model(
    run: RunDirectory, plan: Plan, tokenizer: Tokenizer, folder: str, written: str
) -> tuple[ModelConfig, Mapping[str, Array]]:
    try:
        config, weights = copied_model(run, folder)
    except TricksterError as error:
        raise TricksterError(
            "teacher-damaged",
            f"The copy of the model that teaches {run.id} is damaged or gone. {error.message}",
            "Restore it, or start a new run.",
        ) from error
    _require_fit(plan, written, config)
    if load_tokenizer(run.path / folder).digest != tokenizer.digest:
        raise TricksterError(
            "teacher-tokenizer",
            f"The teacher in {written} was trained with another tokenizer, so its probabilities are those of other "
            "tokens.",
            "Set data_config.tokenizer to the tokenizer.json beside the teacher, or choose another teacher.",
        )
    return config, weights


def _require_fit(plan: Plan, written: str, config: ModelConfig) -> None:
    if config.vocab_size != plan.model.vocab_size or config.max_seq_len < plan.model.max_seq_len:
        raise TricksterError(
            "teacher-unusable",
            f"The teacher in {written} has {config.vocab_size} tokens and a context of {config.max_seq_len}; the model "
            f"has {plan.model.vocab_size} and {plan.model.max_seq_len}.",
            "Choose another teacher with training_config.distill_from.",
        )
