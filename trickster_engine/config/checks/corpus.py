"""Rules about the text itself, as far as names and sizes of files tell; what only reading tells is in data/findings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil, floor, log10
from pathlib import Path

from trickster_engine.config.checks.data import (
    CORPUS,
    DOCUMENTS,
    FRACTION,
    MOST_FILES_LOOKED_AT,
    OUTPUT,
    TRAIN,
    VALIDATION,
    exists,
    own_corpus,
    resolved,
)
from trickster_engine.config.checks.model import LENGTH
from trickster_engine.config.checks.training import ACCUMULATION, BATCH, STEPS
from trickster_engine.config.corpus_files import BUILT_IN_CORPORA, SHAKESPEARE_BYTES, TENSOR_SUFFIXES, find_text_files
from trickster_engine.config.keys import KEYS
from trickster_engine.config.own_output import own_folders
from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.problems import Fix, Problem
from trickster_engine.config.settings import STREAM, Settings, rule
from trickster_engine.config.shapes import count_parameters
from trickster_engine.config.split import MOST_VALIDATION, validation_size
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_bytes

_MODEL_KEYS = tuple(path for path, key in KEYS.items() if key.section == "model_config")
# A text that is read more often than this teaches nothing more (Muennighoff and others, 2023), and a model with so many
# parameters for each of its characters has room to memorise it instead.
_MOST_READINGS = 40
_ROOMY = 10
_COUNTED_BYTES = 4 << 20  # files up to this size are read, to tell characters from bytes
_HOLDS_NONE = ("corpus-no-text-files", "corpus-is-the-config", "corpus-is-a-run")
_OUTPUTS = (OUTPUT, "output_config.checkpoint_dir", "output_config.log_dir")


@rule(CORPUS, TRAIN)
def _built_in_name_is_meant(settings: Settings) -> Iterator[Problem]:
    corpus = settings.text(CORPUS)
    if settings.text(TRAIN) or corpus not in BUILT_IN_CORPORA:
        return
    path = resolved(settings, corpus)
    if path is None or not exists(path):
        return
    kind = "folder" if os.path.isdir(path) else "file"  # noqa: PTH112 - Path.is_dir may raise
    titles = {"shakespeare": "Tiny Shakespeare", "python": "the source of Python's standard library"}
    message = (
        f"corpus: {corpus} is the built-in text, {titles[corpus]}. A {kind} of that name beside this config is not "
        f"used. To train on it, write ./{corpus}."
    )
    fix = settings.write(CORPUS, f"./{corpus}", why=f"the {kind} beside this config")
    yield settings.problem("corpus-name-built-in", "warning", message, CORPUS, fixes=(fix,))


@rule(CORPUS, TRAIN)
def _corpus_holds_text(settings: Settings) -> Iterator[Problem]:
    corpus, path = settings.text(CORPUS), own_corpus(settings)
    if path is None or not exists(path):
        return
    found = _text_of(settings, corpus)
    if isinstance(found, TricksterError) and found.code in _HOLDS_NONE:
        message = f"{found.message} {found.advice}"
        yield settings.problem("corpus-no-text", "error", message, CORPUS)
    elif found == 0:
        message = f"The corpus {shown(corpus)} is empty. Add text: a few hundred thousand characters are a start."
        yield settings.problem("corpus-too-short", "error", message, CORPUS)


@rule(CORPUS, TRAIN, LENGTH, FRACTION, DOCUMENTS)
def _corpus_is_long_enough(settings: Settings) -> Iterator[Problem]:
    corpus = settings.text(CORPUS)
    if settings.text(TRAIN):
        return
    length, fraction = settings.integer(LENGTH), settings.number(FRACTION)
    size = SHAKESPEARE_BYTES if corpus == "shakespeare" else _size(settings, corpus)  # a token is at least a byte
    if not size:
        return
    held_out = validation_size(size, fraction)
    if size - held_out <= length:
        message = (
            f"The corpus {shown(corpus)} has {size:,} bytes: at most {size - held_out:,} training tokens and "
            f"{held_out:,} validation tokens. One sequence of max_seq_len {length} and the next token need "
            f"{length + 1:,}. Use more text or a shorter context."
        )
        longest = min(size - held_out, held_out) - 1
        fixes = (settings.write(LENGTH, _rounder(longest), preferred=True),) if longest >= 2 else ()
        yield settings.problem("corpus-too-short", "error", message, CORPUS, LENGTH, FRACTION, fixes=fixes)
    elif held_out <= length and settings.text(DOCUMENTS) == STREAM:  # a whole document may be longer
        message = (
            f"val_fraction {fraction:g} of the corpus {shown(corpus)} gives {held_out:,} bytes of validation text, "
            f"less than one sequence of max_seq_len {length} and the next token. Its loss would be mostly chance."
        )
        yield settings.problem(
            "validation-too-short", "error", message, FRACTION, LENGTH, CORPUS, fixes=_longer(settings, size, held_out)
        )


def _longer(settings: Settings, size: int, held_out: int) -> tuple[Fix | None, ...]:
    """A larger share for validation, or a shorter context, whichever is possible."""
    length = settings.integer(LENGTH)
    share = ceil((length + 1) / size * 100) / 100
    larger = share <= MOST_VALIDATION and size - validation_size(size, share) > length
    shorter = _rounder(held_out - 1)
    return (
        settings.write(FRACTION, share, preferred=True) if larger else None,
        settings.write(LENGTH, shorter, preferred=not larger) if shorter >= 2 else None,
    )


@rule(TRAIN, VALIDATION, LENGTH)
def _validation_is_other_text(settings: Settings) -> Iterator[Problem]:
    train, validation = settings.text(TRAIN), settings.text(VALIDATION)
    paths = [resolved(settings, name) for name in (train, validation) if name]
    if len(paths) != 2 or any(path is None or not exists(path) for path in paths):
        return
    if _same(*(path for path in paths if path is not None)):
        message = (
            "train_data and val_data are the same file. Validation on the training text cannot detect memorising. Use "
            "another text, or set corpus to one text, which is split."
        )
        yield settings.problem("validation-in-training", "error", message, VALIDATION, TRAIN)
        return
    size, length = _text_of(settings, validation), settings.integer(LENGTH)
    if validation.lower().endswith(TENSOR_SUFFIXES) or not isinstance(size, int) or size > length:
        return
    message = (
        f"val_data {shown(validation)} has {size:,} bytes, less than one sequence of max_seq_len {length} and the "
        "next token. Its loss would be mostly chance. Use more text or a shorter context."
    )
    fix = settings.write(LENGTH, _rounder(size - 1), preferred=True) if size > 2 else None
    yield settings.problem("validation-too-short", "error", message, VALIDATION, LENGTH, fixes=(fix,))


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except (OSError, ValueError):
        return False


@rule(CORPUS, TRAIN, FRACTION, STEPS, BATCH, ACCUMULATION, *_MODEL_KEYS)
def _corpus_is_more_than_can_be_memorised(settings: Settings) -> Iterator[Problem]:
    corpus = settings.text(CORPUS)
    if own_corpus(settings) is None:
        return
    length, fraction = settings.integer(LENGTH), settings.number(FRACTION)
    read = settings.integer(STEPS) * settings.integer(BATCH) * settings.integer(ACCUMULATION) * length
    parameters = _parameters(settings)
    # A token is at least a byte, so all of this errs on the side of silence.
    enough = min(read / _MOST_READINGS, parameters / _ROOMY) / (1 - fraction)
    size = _size(settings, corpus)
    if not size or size >= enough:
        return
    held_out = validation_size(size, fraction)
    training = size - held_out
    if training <= length or held_out <= length:  # `_corpus_is_long_enough` has said so
        return
    counted, unit = _counted(settings, corpus, size)
    message = (
        f"The corpus {shown(corpus)} has only {counted:,} {unit}. This run trains for {read / training:,.0f} epochs, "
        f"and the model has {parameters / training:,.0f} times as many parameters as the training part has {unit}, so "
        f"it will mostly memorise the text. About {_rounded_up(enough):,} {unit} would be enough for this run."
    )
    yield settings.problem("corpus-small", "warning", message, CORPUS)


def _parameters(settings: Settings) -> int:
    values = {path.partition(".")[2]: settings.value(path) for path in _MODEL_KEYS}
    return count_parameters(ModelConfig(**values)).total  # type: ignore[arg-type]


def _counted(settings: Settings, corpus: str, size: int) -> tuple[int, str]:
    """Return how long a text is, in characters where it is one file that is quickly read."""
    path = resolved(settings, corpus)
    try:
        if path is not None and size <= _COUNTED_BYTES:
            return len(read_bytes(path, _COUNTED_BYTES, follow_links=True).decode("utf-8", "replace")), "characters"
    except OSError:
        pass
    return size, "bytes"


def _rounded_up(number: float) -> int:
    """Return a number that is easily said: with one digit that is not 0."""
    unit: int = 10 ** max(0, floor(log10(number)))
    return ceil(number / unit) * unit


def _rounder(number: int) -> int:
    """Return the largest usual length up to `number`: a multiple of 32 where there is one."""
    return number // 32 * 32 or number


def _size(settings: Settings, corpus: str) -> int | None:
    """Return how many bytes of text a corpus has; None where that is not quickly told."""
    found = None if corpus in BUILT_IN_CORPORA else _text_of(settings, corpus)
    return found if isinstance(found, int) else None


def _text_of(settings: Settings, corpus: str) -> int | TricksterError | None:
    """Return how many bytes of text a corpus has, or why it has none; None where that is not quickly told."""
    if settings.folder is None or resolved(settings, corpus) is None:
        return None
    own = own_folders(tuple(settings.text(path) for path in _OUTPUTS if settings.knows(path)), settings.folder)
    try:
        return find_text_files(corpus, settings.folder, MOST_FILES_LOOKED_AT, own=own).size
    except TricksterError as error:
        return 0 if error.code == "corpus-empty" else error
    except (OSError, ValueError):
        return None
