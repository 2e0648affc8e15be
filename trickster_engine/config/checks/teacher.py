"""Rules about teachers: their probabilities must be about the same tokens, in the same positions."""

from __future__ import annotations

from collections.abc import Iterator

from trickster_engine.config.checks.data import resolved
from trickster_engine.config.checks.device import LOSS
from trickster_engine.config.checks.model import DEVICE, LENGTH, VOCABULARY
from trickster_engine.config.keys.training import paths_in
from trickster_engine.config.problems import Fix, Problem
from trickster_engine.config.settings import Settings, rule
from trickster_engine.config.starting_weights import TEACHER, StartingWeights, find_starting_weights
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.errors import TricksterError


def _teachers(settings: Settings) -> Iterator[tuple[str, StartingWeights | TricksterError]]:
    """Each teacher once, as written, with what its folder holds or why it cannot teach.

    None where the folder may not be looked at.
    """
    for written in dict.fromkeys(paths_in(settings.value(TEACHER))):
        try:
            if settings.folder is not None and resolved(settings, written) is not None:
                yield written, find_starting_weights(written, settings.folder)
        except TricksterError as error:
            yield written, error
        except ValueError:  # a zero character in the name
            yield written, TricksterError("teacher-unusable", f"{written!r} is no path.", "Name a folder.")


def _without(settings: Settings, written: str) -> Fix | None:
    """The fix that takes one teacher out, and the key with the last of them."""
    others = [one for one in paths_in(settings.value(TEACHER)) if one != written]
    return (
        settings.write(TEACHER, tuple(others) if len(others) > 1 else others[0]) if others else settings.remove(TEACHER)
    )


@rule(TEACHER)
def _teachers_are_models(settings: Settings) -> Iterator[Problem]:
    for written, found in _teachers(settings):
        if isinstance(found, TricksterError):
            message = (
                f"No model can be taught by {shown(written)}: {found.message} distill_from is the folder "
                "of a run, of a checkpoint, or of a Hugging Face Llama (config.json and model.safetensors)."
            )
            fixes = (_without(settings, written),)
            yield settings.problem("teacher-unusable", "error", message, TEACHER, fixes=fixes, item=written)


@rule(TEACHER, VOCABULARY)
def _teachers_know_the_same_tokens(settings: Settings) -> Iterator[Problem]:
    size = settings.integer(VOCABULARY)
    for written, teacher in _teachers(settings):
        if isinstance(teacher, StartingWeights) and teacher.model.vocab_size != size:
            message = (
                f"The teacher in {shown(written)} has a vocabulary of {teacher.model.vocab_size} tokens, and "
                f"vocab_size is {size}. Its probabilities must be those of the same tokens."
            )
            fixes = (settings.write(VOCABULARY, teacher.model.vocab_size), _without(settings, written))
            yield settings.problem(
                "teacher-vocabulary", "error", message, TEACHER, VOCABULARY, fixes=fixes, item=written
            )


@rule(TEACHER, LENGTH)
def _teachers_know_the_context(settings: Settings) -> Iterator[Problem]:
    length = settings.integer(LENGTH)
    for written, teacher in _teachers(settings):
        if isinstance(teacher, StartingWeights) and teacher.model.max_seq_len < length:
            there = teacher.model.max_seq_len
            message = (
                f"max_seq_len {length} is longer than the {there} that the teacher in {shown(written)} was trained "
                "for. Its probabilities in the positions beyond would teach nonsense."
            )
            fixes = (settings.write(LENGTH, there, preferred=True), _without(settings, written))
            yield settings.problem("teacher-context", "error", message, LENGTH, TEACHER, fixes=fixes, item=written)


@rule(TEACHER, LOSS)
def _teacher_goes_with_cross_entropy(settings: Settings) -> Iterator[Problem]:
    loss = settings.text(LOSS)
    if settings.value(TEACHER) and loss != "cross_entropy":
        message = f"loss {loss} has no teacher: with distill_from, the loss is cross_entropy."
        fixes = (settings.write(LOSS, "cross_entropy", preferred=True), settings.remove(TEACHER))
        yield settings.problem("teacher-loss", "error", message, LOSS, TEACHER, fixes=fixes)


@rule(TEACHER, DEVICE)
def _tt_has_no_teacher(settings: Settings) -> Iterator[Problem]:
    if settings.value(TEACHER) and settings.text(DEVICE) == "tt":
        message = "distill_from is not available on a Tenstorrent board: ttml compares with the text only."
        yield settings.problem(
            "tt-distillation", "error", message, TEACHER, DEVICE, fixes=(settings.remove(TEACHER, preferred=True),)
        )
