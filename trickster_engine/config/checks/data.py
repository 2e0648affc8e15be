"""Rules about the text, its tokens, and the paths in a config."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

from trickster_engine.config.checks.model import DEVICE, VOCABULARY
from trickster_engine.config.corpus_files import BUILT_IN_CORPORA, TENSOR_SUFFIXES
from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import BYTES_AND_END, STREAM, Settings, leads_away, rule
from trickster_engine.config.starting_weights import INIT, says_tokenizer_file, tokenizer_file
from trickster_engine.config.suggestions import nearest
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.system.files import path_meant

CORPUS = "data_config.corpus"
TOKENIZER = "data_config.tokenizer"
FRACTION = "data_config.val_fraction"
TRAIN = "data_config.train_data"
VALIDATION = "data_config.val_data"
DOCUMENTS = "data_config.documents"
SEPARATOR = "data_config.document_separator"
MASK = "data_config.mask_documents"
PROMPT = "sampling_config.prompt"
OUTPUT = "output_config.output_dir"

TOKENIZERS = ("byte", "char", "bpe")
BYTES = 256
MOST_FILES_LOOKED_AT = 2_000


def _byte_tokens(settings: Settings) -> int:
    """How many tokens the tokenizer byte has: one more than bytes where documents end."""
    return BYTES if settings.text(DOCUMENTS) == STREAM else BYTES_AND_END


@rule(TOKENIZER, VOCABULARY, DOCUMENTS)
def _vocabulary_holds_bytes(settings: Settings) -> Iterator[Problem]:
    size, needed = settings.integer(VOCABULARY), _byte_tokens(settings)
    if settings.text(TOKENIZER) == "byte" and size < needed:
        what = f"{needed} tokens" if needed == BYTES else f"{needed} tokens with the one that ends a document"
        message = f"vocab_size {size} is too small for tokenizer byte, which has {what}."
        fixes = [settings.write(TOKENIZER, "char")]
        if settings.value(INIT) is None if settings.knows(INIT) else False:
            fixes.insert(0, settings.write(VOCABULARY, needed, preferred=True))
        yield settings.problem(
            "vocabulary-too-small", "error", message, VOCABULARY, TOKENIZER, DOCUMENTS, fixes=tuple(fixes)
        )


@rule(TOKENIZER, VOCABULARY, DOCUMENTS)
def _vocabulary_holds_pieces(settings: Settings) -> Iterator[Problem]:
    size = settings.integer(VOCABULARY)
    if settings.text(TOKENIZER) == "bpe" and size <= _byte_tokens(settings):
        message = (
            f"vocab_size {size} leaves no room for subwords: tokenizer bpe starts from {BYTES} bytes and learns "
            f"vocab_size - {_byte_tokens(settings)} subwords. 1024 to 8192 suits a small corpus."
        )
        fixes = (settings.write(VOCABULARY, 1024, preferred=True), settings.write(TOKENIZER, "byte"))
        yield settings.problem("vocabulary-too-small", "error", message, VOCABULARY, TOKENIZER, fixes=fixes)


@rule(TOKENIZER, VOCABULARY, DOCUMENTS)
def _vocabulary_is_used(settings: Settings) -> Iterator[Problem]:
    size, tokens = settings.integer(VOCABULARY), _byte_tokens(settings)
    if settings.text(TOKENIZER) == "byte" and size > tokens:
        message = f"tokenizer byte has {tokens} tokens, so {size - tokens} of vocab_size {size} are never used."
        fixes = (settings.write(VOCABULARY, tokens), settings.write(TOKENIZER, "bpe"))
        yield settings.problem("vocabulary-not-used", "hint", message, VOCABULARY, TOKENIZER, fixes=fixes)


@rule(TRAIN, VALIDATION)
def _prepared_text_has_two_halves(settings: Settings) -> Iterator[Problem]:
    train, validation = settings.text(TRAIN), settings.text(VALIDATION)
    if bool(train) != bool(validation):
        there, missing = (TRAIN, VALIDATION) if train else (VALIDATION, TRAIN)
        names = [path.split(".")[1] for path in (there, missing)]
        message = f"{names[0]} is set without {names[1]}. Set both, or remove it and set corpus."
        fixes = (settings.remove(there), settings.write(missing, "data/val.pt" if train else "data/train.pt"))
        yield settings.problem("one-half-of-prepared-text", "error", message, there, fixes=fixes)


@rule(TOKENIZER, INIT)
def _tokenizer_is_known(settings: Settings) -> Iterator[Problem]:
    tokenizer = settings.text(TOKENIZER)
    if tokenizer in TOKENIZERS or tokenizer.lower().endswith(TENSOR_SUFFIXES):
        return
    if says_tokenizer_file(tokenizer) or tokenizer == settings.value(INIT):
        return
    meant = nearest(tokenizer, TOKENIZERS)
    hint = f" Did you mean {meant}?" if meant else ""
    message = (
        f"There is no tokenizer {shown(tokenizer)}.{hint} Use byte, char, bpe, the lesson's tokenizer.pt, or the "
        "folder of a tokenizer.json, such as ./my-model."
    )
    ordered = sorted(TOKENIZERS, key=lambda name: name != meant)
    fixes = [settings.write(TOKENIZER, name, preferred=name == meant) for name in ordered]
    yield settings.problem("unknown-value", "error", message, TOKENIZER, fixes=tuple(fixes))


@rule(TOKENIZER, TRAIN)
def _tensors_have_a_tokenizer(settings: Settings) -> Iterator[Problem]:
    train, tokenizer = settings.text(TRAIN), settings.text(TOKENIZER)
    if train.lower().endswith(TENSOR_SUFFIXES) and tokenizer in ("char", "bpe"):
        message = (
            f"tokenizer {shown(tokenizer)} has no effect: train_data already contains tokens, and the tokenizer.pt "
            "beside it decodes them."
        )
        fixes = (settings.write(TOKENIZER, train[: len(train) - len(Path(train).name)] + "tokenizer.pt"),)
        yield settings.problem("tokenizer-of-tensors", "hint", message, TOKENIZER, TRAIN, fixes=fixes)


@rule(DOCUMENTS, SEPARATOR)
def _separator_is_not_empty(settings: Settings) -> Iterator[Problem]:
    if settings.text(DOCUMENTS) == "separated" and not settings.text(SEPARATOR).strip("\r"):
        message = "document_separator is empty. Give it the text that stands between documents."
        fixes = (settings.write(SEPARATOR, "<|endoftext|>"), settings.write(DOCUMENTS, "lines"))
        yield settings.problem("empty-separator", "error", message, SEPARATOR, DOCUMENTS, fixes=fixes)


@rule(DOCUMENTS, MASK, DEVICE)
def _device_masks_documents(settings: Settings) -> Iterator[Problem]:
    device = settings.text(DEVICE)
    if settings.truth(MASK) and settings.text(DOCUMENTS) != STREAM and device in ("tt", "mps"):
        message = f"mask_documents needs a CPU or a CUDA GPU; device_type is {device}."
        fixes = (settings.write(MASK, False, preferred=True), settings.write(DEVICE, "cpu"))
        yield settings.problem("mask-documents-device", "error", message, MASK, DEVICE, fixes=fixes)


@rule(DOCUMENTS, TRAIN)
def _tensors_have_no_documents(settings: Settings) -> Iterator[Problem]:
    documents, train = settings.text(DOCUMENTS), settings.text(TRAIN)
    if documents != STREAM and train.lower().endswith(TENSOR_SUFFIXES):
        message = f"documents: {documents} needs text, and train_data already contains tokens."
        fixes = (settings.write(DOCUMENTS, STREAM, preferred=True),)
        yield settings.problem("documents-of-tensors", "error", message, DOCUMENTS, TRAIN, fixes=fixes)


@rule(PROMPT, DOCUMENTS)
def _prompt_is_not_empty(settings: Settings) -> Iterator[Problem]:
    if not settings.text(PROMPT) and settings.text(DOCUMENTS) == STREAM:
        message = "prompt is empty. The model continues a text, so give it at least one character."
        yield settings.problem("empty-prompt", "error", message, PROMPT, fixes=(settings.write(PROMPT, "ROMEO:"),))


def resolved(settings: Settings, written: str) -> Path | None:
    """Return the path meant by a text in the file; None when no look at the file system is wanted."""
    if settings.folder is None:
        return None
    return None if leads_away(settings.folder, written) else path_meant(settings.folder, written)


def exists(path: Path) -> bool:
    """Whether there is something at a path, of whatever kind."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for names that are too long


def sources(settings: Settings) -> tuple[CorpusSource, ...]:
    """What `corpus` names, one or several; nothing where train_data takes its place."""
    corpus = settings.value(CORPUS)
    if settings.text(TRAIN):
        return ()
    return (CorpusSource(corpus),) if isinstance(corpus, str) else cast("tuple[CorpusSource, ...]", corpus)


def only_source(settings: Settings) -> str:
    """The one text that `corpus` names; empty where it names several, or counts for nothing."""
    found = sources(settings)
    return found[0].path if len(found) == 1 and found[0].weight == 1 else ""


def own_texts(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The texts of a person's own, each once, as it is written and where it is looked for."""
    for written in dict.fromkeys(source.path for source in sources(settings)):
        path = None if written in BUILT_IN_CORPORA else resolved(settings, written)
        if path is not None:
            yield written, path


@rule(CORPUS, TRAIN)
def _corpus_is_there(settings: Settings) -> Iterator[Problem]:
    for corpus, path in own_texts(settings):
        if not exists(path):
            yield _not_there(settings, corpus, path)


def _not_there(settings: Settings, corpus: str, path: Path) -> Problem:
    built_in = nearest(corpus, BUILT_IN_CORPORA, cutoff=0.75)
    near = built_in or _similar_file(path, corpus)
    hint = f" Did you mean {shown(near)}?" if near else ""
    message = (
        f"The corpus {shown(corpus)} does not exist (looked for {shown(str(path), 200)}).{hint} Use shakespeare, "
        "python, or the path of a text file or folder."
    )
    fixes = [settings.write_item(CORPUS, corpus, near, preferred=True)] if near else []
    if near != "shakespeare" and isinstance(settings.value(CORPUS), str):
        fixes.append(settings.write(CORPUS, "shakespeare"))
    return settings.problem("corpus-not-found", "warning", message, CORPUS, fixes=tuple(fixes), item=corpus)


def _similar_file(path: Path, written: str) -> str | None:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, MOST_FILES_LOOKED_AT)]
    except (OSError, ValueError):
        return None
    name = nearest(path.name, names)
    return written[: len(written) - len(path.name)] + name if name and written.endswith(path.name) else None


@rule(TRAIN, VALIDATION, TOKENIZER)
def _prepared_text_is_there(settings: Settings) -> Iterator[Problem]:
    paths = [path for path in (TRAIN, VALIDATION) if settings.text(path)]
    if settings.text(TRAIN) and settings.text(TOKENIZER) not in TOKENIZERS:
        paths.append(TOKENIZER)
    for path in paths:
        file = resolved(settings, settings.text(path))
        if file is not None and not exists(file):
            message = (
                f"{path.split('.')[1]} {shown(settings.text(path))} does not exist (looked for "
                f"{shown(str(file), 200)}). Prepare the lesson's files first, or remove train_data, val_data and "
                "tokenizer and write `corpus: shakespeare`."
            )
            yield settings.problem("corpus-not-found", "warning", message, path)


@rule(TOKENIZER, INIT)
def _tokenizer_file_is_there(settings: Settings) -> Iterator[Problem]:
    tokenizer = settings.text(TOKENIZER)
    if tokenizer in TOKENIZERS or tokenizer.lower().endswith(TENSOR_SUFFIXES) or not says_tokenizer_file(tokenizer):
        return
    path = resolved(settings, tokenizer)
    if settings.is_given(TOKENIZER) and path is not None and not exists(tokenizer_file(path)):
        message = f"There is no {shown(str(tokenizer_file(path)), 200)}, which tokenizer {shown(tokenizer)} means."
        yield settings.problem("corpus-not-found", "warning", message, TOKENIZER)


@rule(OUTPUT)
def _output_is_a_folder(settings: Settings) -> Iterator[Problem]:
    for path in (OUTPUT, "output_config.checkpoint_dir", "output_config.log_dir"):
        if not settings.knows(path) or not settings.text(path):
            continue
        folder = resolved(settings, settings.text(path))
        if folder is not None and os.path.isfile(folder):  # noqa: PTH113 - as for exists
            name = path.split(".")[1]
            message = (
                f"{name} {shown(settings.text(path))} is a file. Name a folder; it is created if it does not exist."
            )
            yield settings.problem("output-not-a-folder", "error", message, path)
