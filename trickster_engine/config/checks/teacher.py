"""Rules about a teacher: its probabilities must be about the same tokens, in the same positions."""

from __future__ import annotations

from collections.abc import Iterator

from trickster_engine.config.checks.data import resolved
from trickster_engine.config.checks.device import LOSS
from trickster_engine.config.checks.model import DEVICE, LENGTH, VOCABULARY
from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings, rule
from trickster_engine.config.starting_weights import TEACHER, StartingWeights, find_starting_weights
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.errors import TricksterError


def _teacher(settings: Settings) -> StartingWeights | TricksterError | None:
    """What `distill_from` names, or why nothing can be learned from it; None where nobody looks."""
    written = settings.text(TEACHER)
    try:
        if not written or settings.folder is None or resolved(settings, written) is None:
            return None
        return find_starting_weights(written, settings.folder)
    except TricksterError as error:
        return error
    except ValueError:  # a zero character in the name
        return TricksterError("teacher-unusable", f"{written!r} is no path.", "Name a folder.")


@rule(TEACHER)
def _teacher_is_a_model(settings: Settings) -> Iterator[Problem]:
    if isinstance(error := _teacher(settings), TricksterError):
        message = (
            f"No model can be taught by {shown(settings.text(TEACHER))}: {error.message} distill_from is the folder "
            "of a run, of a checkpoint, or of a Hugging Face Llama (config.json and model.safetensors)."
        )
        yield settings.problem("teacher-unusable", "error", message, TEACHER, fixes=(settings.remove(TEACHER),))


@rule(TEACHER, VOCABULARY)
def _teacher_knows_the_same_tokens(settings: Settings) -> Iterator[Problem]:
    teacher, size = _teacher(settings), settings.integer(VOCABULARY)
    if isinstance(teacher, StartingWeights) and teacher.model.vocab_size != size:
        message = (
            f"The teacher in {shown(teacher.written)} has a vocabulary of {teacher.model.vocab_size} tokens, and "
            f"vocab_size is {size}. Its probabilities must be those of the same tokens."
        )
        fixes = (settings.write(VOCABULARY, teacher.model.vocab_size), settings.remove(TEACHER))
        yield settings.problem("teacher-vocabulary", "error", message, TEACHER, VOCABULARY, fixes=fixes)


@rule(TEACHER, LENGTH)
def _teacher_knows_the_context(settings: Settings) -> Iterator[Problem]:
    teacher, length = _teacher(settings), settings.integer(LENGTH)
    if isinstance(teacher, StartingWeights) and teacher.model.max_seq_len < length:
        there = teacher.model.max_seq_len
        message = (
            f"max_seq_len {length} is longer than the {there} that the teacher in {shown(teacher.written)} was trained "
            "for. Its probabilities in the positions beyond would teach nonsense."
        )
        fixes = (settings.write(LENGTH, there, preferred=True), settings.remove(TEACHER))
        yield settings.problem("teacher-context", "error", message, LENGTH, TEACHER, fixes=fixes)


@rule(TEACHER, LOSS)
def _teacher_goes_with_cross_entropy(settings: Settings) -> Iterator[Problem]:
    loss = settings.text(LOSS)
    if settings.text(TEACHER) and loss != "cross_entropy":
        message = f"loss {loss} has no teacher: with distill_from, the loss is cross_entropy."
        fixes = (settings.write(LOSS, "cross_entropy", preferred=True), settings.remove(TEACHER))
        yield settings.problem("teacher-loss", "error", message, LOSS, TEACHER, fixes=fixes)


@rule(TEACHER, DEVICE)
def _tt_has_no_teacher(settings: Settings) -> Iterator[Problem]:
    if settings.text(TEACHER) and settings.text(DEVICE) == "tt":
        message = "distill_from is not available on a Tenstorrent board: ttml compares with the text only."
        yield settings.problem(
            "tt-distillation", "error", message, TEACHER, DEVICE, fixes=(settings.remove(TEACHER, preferred=True),)
        )
