"""A text as single things: documents, or lines where a corpus has none. A measure judges each of them.

They come from a model, from an n-gram model of the same text, and from the text itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from trickster_engine.data.baselines import best_order
from trickster_engine.data.batches import Tokens
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.documents import MARK
from trickster_engine.data.ngram_text import NgramWriter
from trickster_engine.errors import TricksterError
from trickster_engine.inference.sampling import SamplingOptions, generate, until_end
from trickster_engine.model.llama import Llama

_LINE_END = "\n"
_ROWS = 128  # items that a model writes side by side
#: Training text that the n-gram model counts.
_COUNTED_CHARACTERS = 1 << 24
#: A longer item is cut, from a model as from the n-gram.
LONGEST_TOKENS = 2048


def items_of(dataset: Dataset, tokens: Tokens) -> Iterator[str]:
    """The whole items of tokens, in order; empty ones are none, and one that is not ended is left out."""
    separator, held = _separator(dataset), ""
    for chunk in dataset.text_chunks(tokens):
        *whole, held = (held + chunk).split(separator)
        yield from filter(None, whole)


def real_items(dataset: Dataset, count: int) -> list[str]:
    """The first items of the validation text, without the first, which may be the end of one that was cut."""
    return list(islice(items_of(dataset, dataset.val), 1, count + 1))


def items_by_model(model: Llama, dataset: Dataset, count: int, options: SamplingOptions) -> list[str]:
    """What a model writes when it begins an item, `count` times, each up to its end.

    It ends at `max_new_tokens` of `options` at the latest. Raises TricksterError `measure-needs-items` where the
    tokenizer has no token that begins an item.
    """
    tokenizer = dataset.tokenizer
    ends = np.zeros(tokenizer.vocab_size, dtype=bool)
    if dataset.documents:
        assert tokenizer.end_id is not None
        begin = [tokenizer.end_id]
        ends[begin] = True
    else:
        begin = tokenizer.encode(_LINE_END).tolist()
        ends[:] = [_LINE_END.encode() in token for token in tokenizer.token_bytes]
    if len(begin) != 1 or not ends.any():
        raise _no_items()
    items: list[str] = []
    while len(items) < count:
        rows = min(_ROWS, count - len(items))
        seeded = _with_seed(options, options.seed + len(items))
        columns: list[list[int]] = []
        closed = np.zeros(rows, dtype=bool)
        for step in generate(model, [begin] * rows, seeded, vocab_size=tokenizer.vocab_size):
            columns.append(step.tolist())
            closed |= ends[columns[-1]]
            if closed.all():
                break
        for row in zip(*columns, strict=True):
            tokens = row if not dataset.documents else until_end(row, tokenizer.end_id)
            items.append(tokenizer.decode_after(begin, tokens).split(_separator(dataset))[0])
    return items


def _no_items() -> TricksterError:
    return TricksterError(
        "measure-needs-items",
        "This run's text has neither documents nor line ends that a token stands for, so the model cannot be asked "
        "for one item.",
        "Train on a text with data_config.documents, or with one item a line and a byte or char tokenizer.",
    )


def _separator(dataset: Dataset) -> str:
    """What ends an item in the text of a dataset."""
    return MARK if dataset.documents else _LINE_END


def _with_seed(options: SamplingOptions, seed: int) -> SamplingOptions:
    return SamplingOptions(**{**vars(options), "seed": seed})


def items_by_ngram(dataset: Dataset, count: int, seed: int) -> tuple[str, list[str]]:
    """What the best n-gram model over bytes writes, and its name. Raises TricksterError `measure-needs-items`."""
    tokenizer = dataset.tokenizer
    separator = _separator(dataset)
    text = separator.join(["", *_first_items(dataset)]).encode()
    if not text:
        raise _no_items()
    order = best_order(np.frombuffer(text, dtype=np.uint8), 256)
    prefix = "" if tokenizer.kind == "byte" else "byte "
    written = NgramWriter(text, order).write(separator.encode(), separator.encode(), count, LONGEST_TOKENS, seed)
    return f"{prefix}{order}-gram", [item.decode("utf-8", "replace") for item in written]


def _first_items(dataset: Dataset) -> Iterator[str]:
    """Items of the training text, as many as the n-gram model counts."""
    characters = 0
    for item in items_of(dataset, dataset.train):
        yield item
        characters += len(item) + 1
        if characters >= _COUNTED_CHARACTERS:
            return
