"""Rules about the weights that training starts from: the folder decides the shape and the tokenizer."""

from __future__ import annotations

from collections.abc import Iterator

from trickster_engine.config.checks.data import TOKENIZER, TRAIN
from trickster_engine.config.checks.model import LENGTH
from trickster_engine.config.corpus_files import TENSOR_SUFFIXES
from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings, rule
from trickster_engine.config.starting_weights import INIT, SHAPE
from trickster_engine.config.yaml.scalars import as_yaml, shown


@rule(INIT)
def _weights_can_be_started_from(settings: Settings) -> Iterator[Problem]:
    if (error := settings.start_error) is not None:
        message = f"{error.message} {error.advice}"
        fixes = (settings.remove(INIT),)
        yield settings.problem(error.code, "error", message, INIT, fixes=fixes)


@rule(INIT)
def _shape_is_that_of_the_weights(settings: Settings) -> Iterator[Problem]:
    start = settings.start
    if start is None:
        return
    for name in SHAPE:
        path = f"model_config.{name}"
        if path == LENGTH or not settings.is_given(path) or not settings.knows(path):
            continue
        here, there = settings.value(path), getattr(start.model, name)
        if here != there:
            message = (
                f"{name} {as_yaml(here)} is not the {as_yaml(there)} of the weights in {shown(start.written)}. Leave "
                "it out: it follows their folder."
            )
            fixes = (settings.remove(path, preferred=True), settings.write(path, there))
            yield settings.problem("shape-of-weights", "error", message, path, INIT, fixes=fixes)


@rule(INIT, LENGTH)
def _context_is_no_longer_than_that_of_the_weights(settings: Settings) -> Iterator[Problem]:
    start = settings.start
    if start is None or settings.integer(LENGTH) <= start.model.max_seq_len:
        return
    there = start.model.max_seq_len
    message = (
        f"max_seq_len {settings.integer(LENGTH)} is longer than the {there} that the weights in {shown(start.written)} "
        "were trained for. Positions beyond that are new to them: they start badly there and learn it."
    )
    yield settings.problem(
        "longer-than-weights", "warning", message, LENGTH, INIT, fixes=(settings.write(LENGTH, there, preferred=True),)
    )


@rule(INIT, TOKENIZER)
def _tokenizer_is_that_of_the_weights(settings: Settings) -> Iterator[Problem]:
    start, tokenizer = settings.start, settings.text(TOKENIZER)
    if start is None or (tokenizer == start.written and start.has_tokenizer):
        return
    if start.has_tokenizer:
        if tokenizer == "byte" and start.is_byte:
            return
        message = (
            f"The weights in {shown(start.written)} were trained with the tokenizer.json beside them, and the token "
            f"ids of tokenizer {shown(tokenizer)} mean nothing to them. Leave tokenizer out: it follows their folder."
        )
        fixes = (settings.remove(TOKENIZER, preferred=True), settings.write(TOKENIZER, start.written))
    elif settings.is_given(TOKENIZER) and tokenizer not in ("char", "bpe"):
        return
    else:
        message = (
            f"There is no tokenizer.json beside the weights in {shown(start.written)}. Set tokenizer to the folder of "
            "the one they were trained with (transformers writes it: AutoTokenizer.from_pretrained(FOLDER)"
            ".save_pretrained(NEW)), or to byte if their tokens are bytes."
        )
        fixes = (settings.write(TOKENIZER, "byte"), None)
    yield settings.problem("tokenizer-of-weights", "error", message, TOKENIZER, INIT, fixes=fixes)


@rule(INIT, TRAIN)
def _text_is_encoded_for_the_weights(settings: Settings) -> Iterator[Problem]:
    train = settings.text(TRAIN)
    if settings.text(INIT) and train.lower().endswith(TENSOR_SUFFIXES):
        message = (
            f"train_data {shown(train)} contains tokens already, and nothing tells whether the tokenizer of the "
            "weights made them. Give the text itself."
        )
        fixes = (settings.remove(TRAIN), settings.remove(INIT))
        yield settings.problem("tokenizer-of-weights", "error", message, TRAIN, INIT, fixes=fixes)
