"""Rules about the text, its tokens, and the paths in a config."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from math import ceil, floor, log10
from pathlib import Path

from trickster_engine.config.keys import KEYS
from trickster_engine.config.plan import ModelConfig
from trickster_engine.config.problems import Problem
from trickster_engine.config.rules import rule
from trickster_engine.config.rules_model import LENGTH, VOCABULARY
from trickster_engine.config.rules_training import ACCUMULATION, BATCH, STEPS
from trickster_engine.config.scalars import shown
from trickster_engine.config.settings import Settings
from trickster_engine.config.suggestions import nearest
from trickster_engine.files import path_meant, read_bytes

CORPUS = "data_config.corpus"
TOKENIZER = "data_config.tokenizer"
FRACTION = "data_config.val_fraction"
TRAIN = "data_config.train_data"
VALIDATION = "data_config.val_data"
PROMPT = "sampling_config.prompt"
OUTPUT = "output_config.output_dir"

BUILT_IN_CORPORA = ("shakespeare", "python")
TOKENIZERS = ("byte", "char", "bpe")
TENSOR_FILES = (".pt", ".pth")
BYTES = 256
_MOST_FILES_LOOKED_AT = 2_000
_MODEL_KEYS = tuple(path for path, key in KEYS.items() if key.section == "model_config")
# A text that is read more often than this teaches nothing more (Muennighoff and others, 2023), and a model with so many
# parameters for each of its characters has room to learn it by heart instead.
_MOST_READINGS = 40
_ROOMY = 10
_COUNTED_BYTES = 4 << 20  # files up to this size are read, to tell characters from bytes


@rule(TOKENIZER, VOCABULARY)
def vocabulary_holds_bytes(settings: Settings) -> Iterator[Problem]:
    """Every byte needs a row."""
    size = settings.integer(VOCABULARY)
    if settings.text(TOKENIZER) == "byte" and size < BYTES:
        message = f"vocab_size {size} is too small for tokenizer byte: text can hold any of {BYTES} bytes."
        fixes = (settings.write(VOCABULARY, BYTES, preferred=True), settings.write(TOKENIZER, "char"))
        yield settings.problem("vocabulary-too-small", "error", message, VOCABULARY, TOKENIZER, fixes=fixes)


@rule(TOKENIZER, VOCABULARY)
def vocabulary_holds_pieces(settings: Settings) -> Iterator[Problem]:
    """BPE starts from the bytes, and adds."""
    size = settings.integer(VOCABULARY)
    if settings.text(TOKENIZER) == "bpe" and size <= BYTES:
        message = (
            f"vocab_size {size} leaves no room for word pieces: tokenizer bpe starts from {BYTES} bytes and learns "
            "vocab_size - 256 pieces on top. 1024 to 8192 suits a small corpus."
        )
        fixes = (settings.write(VOCABULARY, 1024, preferred=True), settings.write(TOKENIZER, "byte"))
        yield settings.problem("vocabulary-too-small", "error", message, VOCABULARY, TOKENIZER, fixes=fixes)


@rule(TOKENIZER, VOCABULARY)
def vocabulary_is_used(settings: Settings) -> Iterator[Problem]:
    """Rows beyond the bytes are never read."""
    size = settings.integer(VOCABULARY)
    if settings.text(TOKENIZER) == "byte" and size > BYTES:
        message = f"tokenizer byte has {BYTES} tokens, so {size - BYTES} of vocab_size {size} are never used."
        fixes = (settings.write(VOCABULARY, BYTES), settings.write(TOKENIZER, "bpe"))
        yield settings.problem("vocabulary-not-used", "hint", message, VOCABULARY, TOKENIZER, fixes=fixes)


@rule(TRAIN, VALIDATION)
def prepared_text_has_two_halves(settings: Settings) -> Iterator[Problem]:
    """train_data without val_data could not be measured; val_data without train_data could not be learned."""
    train, validation = settings.text(TRAIN), settings.text(VALIDATION)
    if bool(train) != bool(validation):
        there, missing = (TRAIN, VALIDATION) if train else (VALIDATION, TRAIN)
        names = [path.split(".")[1] for path in (there, missing)]
        message = (
            f"{names[0]} is given without {names[1]}: prepared text comes as both. Or remove it and name a corpus."
        )
        fixes = (settings.remove(there), settings.write(missing, "data/val.pt" if train else "data/train.pt"))
        yield settings.problem("one-half-of-prepared-text", "error", message, there, fixes=fixes)


@rule(TOKENIZER)
def tokenizer_is_known(settings: Settings) -> Iterator[Problem]:
    """A tokenizer is one of three names, or a file that the lesson's scripts made."""
    tokenizer = settings.text(TOKENIZER)
    if tokenizer in TOKENIZERS or tokenizer.lower().endswith(TENSOR_FILES):
        return
    meant = nearest(tokenizer, TOKENIZERS)
    hint = f" Did you mean {meant}?" if meant else ""
    message = f"There is no tokenizer {shown(tokenizer)}.{hint} It is byte, char, bpe, or the lesson's tokenizer.pt."
    ordered = sorted(TOKENIZERS, key=lambda name: name != meant)
    fixes = [settings.write(TOKENIZER, name, preferred=name == meant) for name in ordered]
    yield settings.problem("unknown-value", "error", message, TOKENIZER, fixes=tuple(fixes))


@rule(TOKENIZER, TRAIN)
def tensors_have_a_tokenizer(settings: Settings) -> Iterator[Problem]:
    """Prepared tensors are tokens already; the table that made them lies beside them."""
    train, tokenizer = settings.text(TRAIN), settings.text(TOKENIZER)
    if train.lower().endswith(TENSOR_FILES) and tokenizer in ("char", "bpe"):
        message = (
            f"tokenizer {shown(tokenizer)} changes nothing here: train_data is tokens already, and tokenizer.pt beside "
            "it says what they stand for."
        )
        fixes = (settings.write(TOKENIZER, train[: len(train) - len(Path(train).name)] + "tokenizer.pt"),)
        yield settings.problem("tokenizer-of-tensors", "hint", message, TOKENIZER, TRAIN, fixes=fixes)


@rule(PROMPT)
def prompt_is_not_empty(settings: Settings) -> Iterator[Problem]:
    """A model that continues text needs some."""
    if not settings.text(PROMPT):
        message = "prompt is empty. The model continues a text, so give it at least one character."
        yield settings.problem("empty-prompt", "error", message, PROMPT, fixes=(settings.write(PROMPT, "ROMEO:"),))


def _resolved(settings: Settings, written: str) -> Path | None:
    """Return the path meant by a text in the file; None when no look at the file system is wanted."""
    if settings.folder is None:
        return None
    path = path_meant(settings.folder, written)
    if os.name == "nt" and path.drive.startswith("\\\\") and path.drive != settings.folder.drive:
        return None  # asking a machine on the network would tell it who asks
    return path


def _exists(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for names that are too long


@rule(CORPUS, TRAIN)
def corpus_is_there(settings: Settings) -> Iterator[Problem]:
    """The corpus is a name that is built in, or a path that exists."""
    corpus = settings.text(CORPUS)
    if settings.text(TRAIN) or corpus in BUILT_IN_CORPORA:
        return
    path = _resolved(settings, corpus)
    if path is None or _exists(path):
        return
    built_in = nearest(corpus, BUILT_IN_CORPORA, cutoff=0.75)
    near = built_in or _similar_file(path, corpus)
    hint = f" Did you mean {shown(near)}?" if near else ""
    message = (
        f"The corpus {shown(corpus)} is not there (looked for {shown(str(path), 200)}).{hint} "
        "It is shakespeare, python, or the path of a text file or a folder of them."
    )
    fixes = [settings.write(CORPUS, near, preferred=True)] if near else []
    if near != "shakespeare":
        fixes.append(settings.write(CORPUS, "shakespeare"))
    yield settings.problem("corpus-not-found", "warning", message, CORPUS, fixes=tuple(fixes))


def _similar_file(path: Path, written: str) -> str | None:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_FILES_LOOKED_AT)]
    except (OSError, ValueError):
        return None
    name = nearest(path.name, names)
    return written[: len(written) - len(path.name)] + name if name and written.endswith(path.name) else None


@rule(TRAIN, VALIDATION, TOKENIZER)
def prepared_text_is_there(settings: Settings) -> Iterator[Problem]:
    """The files of prepared text exist."""
    paths = [path for path in (TRAIN, VALIDATION) if settings.text(path)]
    if settings.text(TRAIN) and settings.text(TOKENIZER) not in TOKENIZERS:
        paths.append(TOKENIZER)
    for path in paths:
        file = _resolved(settings, settings.text(path))
        if file is not None and not _exists(file):
            message = (
                f"{path.split('.')[1]} {shown(settings.text(path))} is not there (looked for {shown(str(file), 200)}). "
                "Prepare the lesson's files first, or remove train_data, val_data and tokenizer and write `corpus: "
                "shakespeare`."
            )
            yield settings.problem("corpus-not-found", "warning", message, path)


@rule(CORPUS, TRAIN, LENGTH, FRACTION)
def corpus_is_long_enough(settings: Settings) -> Iterator[Problem]:
    """The training part must hold one sequence and the token after it, the held-out part something to predict."""
    corpus = settings.text(CORPUS)
    if settings.text(TRAIN) or corpus in BUILT_IN_CORPORA:
        return
    path = _resolved(settings, corpus)
    if path is None or not _exists(path):
        return
    length, fraction = settings.integer(LENGTH), settings.number(FRACTION)
    enough = int((length + 1) / (1 - fraction)) + 2
    size = _size_up_to(path, enough)  # a token is at least a byte
    if size is None or size >= enough:
        return
    if size == 0:
        message = (
            f"The corpus {shown(corpus)} is empty. Put some text into it: a few hundred thousand characters is a start."
        )
        yield settings.problem("corpus-too-short", "error", message, CORPUS)
        return
    held_out = ceil(size * fraction)
    if size - held_out > length and held_out > 1:
        return
    message = (
        f"The corpus {shown(corpus)} has {size:,} bytes: at most {size - held_out:,} tokens to train on, when "
        f"{held_out:,} are held out. One sequence of max_seq_len {length} and the token after it need {length + 1:,}. "
        "Use more text or a shorter context."
    )
    longest = _rounder(size - held_out - 1)
    fixes = (settings.write(LENGTH, longest, preferred=True),) if longest >= 2 else ()
    yield settings.problem("corpus-too-short", "error", message, CORPUS, LENGTH, FRACTION, fixes=fixes)


@rule(CORPUS, TRAIN, FRACTION, STEPS, BATCH, ACCUMULATION, *_MODEL_KEYS)
def corpus_is_more_than_can_be_memorised(settings: Settings) -> Iterator[Problem]:
    """A text far smaller than the model, read over and over, is learned by heart; a sliver of it measures nothing."""
    corpus = settings.text(CORPUS)
    path = None if settings.text(TRAIN) or corpus in BUILT_IN_CORPORA else _resolved(settings, corpus)
    if path is None or not _exists(path):
        return
    length, fraction = settings.integer(LENGTH), settings.number(FRACTION)
    read = settings.integer(STEPS) * settings.integer(BATCH) * settings.integer(ACCUMULATION) * length
    parameters = _parameters(settings)
    # A token is at least a byte, so all of this errs on the side of silence.
    enough_to_learn = min(read / _MOST_READINGS, parameters / _ROOMY) / (1 - fraction)
    enough_to_measure = (length + 1) / fraction
    size = _size_up_to(path, ceil(max(enough_to_learn, enough_to_measure)))
    if not size:
        return
    held_out = ceil(size * fraction)
    training = size - held_out
    if training <= length or held_out <= 1:  # `corpus_is_long_enough` has said so
        return
    by_heart, unmeasured = size < enough_to_learn, held_out <= length
    if not (by_heart or unmeasured):
        return
    counted, unit = _counted(path, size)
    said = [f"The corpus {shown(corpus)} has only {counted:,} {unit}."]
    if by_heart:
        said.append(
            f"This run reads its training part {read / training:,.0f} times, with {parameters / training:,.0f} "
            f"parameters for each of the {unit}, so the model will mostly learn it by heart."
        )
    if unmeasured:
        said.append(f"Its held-out {held_out:,} bytes are less than one sequence of {length}: too few to measure on.")
    wanted = max(enough_to_learn if by_heart else 0, enough_to_measure if unmeasured else 0)
    said.append(f"About {_rounded_up(wanted):,} {unit} would do{' for this run' if by_heart else ''}.")
    yield settings.problem("corpus-small", "warning", " ".join(said), CORPUS)


def _parameters(settings: Settings) -> int:
    from trickster_engine.estimates.parameters import count_parameters  # builds on this package

    values = {path.partition(".")[2]: settings.value(path) for path in _MODEL_KEYS}
    return count_parameters(ModelConfig(**values)).total  # type: ignore[arg-type]


def _counted(path: Path, size: int) -> tuple[int, str]:
    """Return how long a text is, in characters where it is one file that is quickly read."""
    try:
        if size <= _COUNTED_BYTES:
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


def _size_up_to(path: Path, enough: int) -> int | None:
    """Return how many bytes of text there are, looking no further than `enough`; None when that cannot be told."""
    from trickster_engine.data.corpus import TEXT_SUFFIXES

    total = looked_at = 0
    try:
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size if stat.S_ISREG(status.st_mode) else None
        folders = [path]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:  # one by one: a folder may hold millions, and none of them text
                    looked_at += 1
                    if looked_at > _MOST_FILES_LOOKED_AT:
                        return None
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif entry.is_file() and Path(entry.name).suffix.lower() in TEXT_SUFFIXES:
                        total += entry.stat().st_size
                        if total >= enough:
                            return total
    except (OSError, ValueError):
        return None
    return total


@rule(OUTPUT)
def output_is_a_folder(settings: Settings) -> Iterator[Problem]:
    """Runs are written into a folder."""
    for path in (OUTPUT, "output_config.checkpoint_dir", "output_config.log_dir"):
        if not settings.knows(path) or not settings.text(path):
            continue
        folder = _resolved(settings, settings.text(path))
        if folder is not None and os.path.isfile(folder):  # noqa: PTH113 - as for exists
            name = path.split(".")[1]
            message = f"{name} {shown(settings.text(path))} is a file. Name a folder; it is made when it is missing."
            yield settings.problem("output-not-a-folder", "error", message, path)
