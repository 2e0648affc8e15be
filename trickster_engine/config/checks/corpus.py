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
    only_source,
    own_texts,
    resolved,
)
from trickster_engine.config.checks.model import LENGTH
from trickster_engine.config.checks.training import ACCUMULATION, BATCH, STEPS
from trickster_engine.config.corpus_files import (
    BUILT_IN_CORPORA,
    SHAKESPEARE_BYTES,
    TENSOR_SUFFIXES,
    TextFiles,
    find_text_files,
)
from trickster_engine.config.keys import KEYS
from trickster_engine.config.own_output import own_folders
from trickster_engine.config.patterns import Selection
from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.problems import Fix, Problem
from trickster_engine.config.record_fields import TEXT_FIELD, best_field, field_error, field_not_named, fields_in
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
_HOLDS_NONE = (
    "archive-damaged",
    "archive-encrypted",
    "archive-unknown",
    "corpus-is-a-run",
    "corpus-is-the-config",
    "corpus-no-text-files",
)
INCLUDE, EXCLUDE = "data_config.include", "data_config.exclude"
_WHICH_FILES = (INCLUDE, EXCLUDE, TEXT_FIELD)
_OUTPUTS = (OUTPUT, "output_config.checkpoint_dir", "output_config.log_dir")


@rule(CORPUS, TRAIN)
def _built_in_name_is_meant(settings: Settings) -> Iterator[Problem]:
    corpus = only_source(settings)
    path = resolved(settings, corpus) if corpus in BUILT_IN_CORPORA else None
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


@rule(CORPUS, TRAIN, *_WHICH_FILES)
def _corpus_holds_text(settings: Settings) -> Iterator[Problem]:
    for corpus, path in own_texts(settings):
        if not exists(path):
            continue
        found = _text_of(settings, corpus)
        if isinstance(found, TricksterError) and found.code in _HOLDS_NONE:
            message = f"{found.message} {found.advice}"
            yield settings.problem("corpus-no-text", "error", message, CORPUS, item=corpus)
        elif found == 0:
            message = f"The corpus {shown(corpus)} is empty. Add text: a few hundred thousand characters are a start."
            yield settings.problem("corpus-too-short", "error", message, CORPUS, item=corpus)


@rule(CORPUS, TRAIN, *_WHICH_FILES)
def _records_have_the_field(settings: Settings) -> Iterator[Problem]:
    """The first record of each text tells; the others are seen when it is prepared."""
    name = settings.text(TEXT_FIELD)
    for corpus, path in own_texts(settings):
        files = _files_of(settings, corpus, records=True) if exists(path) else None
        first = next((file for file in files.files if file.format.records), None) if files is not None else None
        if files is None or first is None or (not name and files.kind != "file"):
            continue  # without a field, the records of a folder are left out
        fields = fields_in(first)
        error = field_error(first, name) if name else field_not_named(first, fields)
        if error is None:
            continue
        fixes = (settings.write(TEXT_FIELD, best_field(fields, name), preferred=True),) if fields else ()
        message = f"{error.message} {error.advice}"
        keys = (TEXT_FIELD, CORPUS) if name else (CORPUS,)
        yield settings.problem(error.code, "error", message, *keys, fixes=fixes, item=corpus)


@rule(CORPUS, TRAIN, LENGTH, FRACTION, DOCUMENTS)
def _corpus_is_long_enough(settings: Settings) -> Iterator[Problem]:
    corpus = only_source(settings)
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
    corpus = only_source(settings)
    if not corpus or corpus in BUILT_IN_CORPORA:
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
    found = None if not corpus or corpus in BUILT_IN_CORPORA else _text_of(settings, corpus)
    return found if isinstance(found, int) else None


def _text_of(settings: Settings, corpus: str) -> int | TricksterError | None:
    """Return how many bytes of text a corpus has, or why it has none; None where that is not quickly told."""
    try:
        found = _found(settings, corpus)
    except TricksterError as error:
        return 0 if error.code == "corpus-empty" else error
    return None if found is None or found.is_packed else found.size


def _files_of(settings: Settings, corpus: str, *, records: bool) -> TextFiles | None:
    """Return the files of a corpus where they are quickly found, those of records too if these are wanted."""
    try:
        return _found(settings, corpus, records=records)
    except TricksterError:
        return None


def _found(settings: Settings, corpus: str, *, records: bool = False) -> TextFiles | None:
    if settings.folder is None or resolved(settings, corpus) is None:
        return None
    own = own_folders(tuple(settings.text(path) for path in _OUTPUTS if settings.knows(path)), settings.folder)
    lists = [settings.value(path) if settings.knows(path) else () for path in (INCLUDE, EXCLUDE)]
    include, exclude = (one if isinstance(one, tuple) else () for one in lists)
    named = settings.knows(TEXT_FIELD) and bool(settings.text(TEXT_FIELD))
    selection = Selection(include, exclude, named or records)
    try:
        return find_text_files(corpus, settings.folder, MOST_FILES_LOOKED_AT, own=own, selection=selection)
    except (OSError, ValueError):
        return None
