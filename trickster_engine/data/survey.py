"""Reads a prepared text once to say what it holds: line ends, tokens that occur, repetition, and validation text that
is also trained on. Kept beside the dataset, so that it is read once; older datasets get theirs when they are asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from trickster_engine.config.plan import Plan
from trickster_engine.data.batches import Tokens, even_portions
from trickster_engine.data.dataset import MEASURED_TOKENS, Dataset
from trickster_engine.data.description import read_description
from trickster_engine.data.facts import CONTENT_FILE, Content, LineEnds, TextFacts, kept_facts, read_facts
from trickster_engine.data.overlap import WINDOW, Overlap, Repetition, all_hashes
from trickster_engine.system.files import write_json_atomically
from trickster_engine.system.json_checksum import seal
from trickster_engine.system.progress_bar import tqdm

#: A longer training text is represented by this many of its tokens, in even portions: what is said of it is then a
#: measurement on a sample, and the overlap a lower bound.
SURVEYED_TOKENS = 1 << 27
_BLOCK = 1 << 20  # tokens


def text_facts(
    plan: Plan, dataset: Dataset, *, progress: bool = False, interrupt: Callable[[], None] | None = None
) -> TextFacts:
    """Everything there is to say about a plan's text, measured the first time and kept beside it from then on.

    `interrupt` is called every megabyte or so and may raise to end it early.
    """
    kept = kept_facts(plan, dataset.source, dataset.directory)
    if kept is not None:
        return kept
    content = _survey(dataset, plan.data.train_data is None, progress, interrupt)
    filled = dataset.tokenizer.vocab_size
    with contextlib.suppress(OSError):  # a read-only cache costs only the time to read again
        document = seal({**asdict(content), "filled": filled}, dataset.fingerprint)
        write_json_atomically(dataset.directory / CONTENT_FILE, document)
    return read_facts(plan, dataset.source, read_description(dataset.directory), filled, content)


def _survey(dataset: Dataset, joined: bool, progress: bool, interrupt: Callable[[], None] | None) -> Content:
    """Measure; `joined`: the validation text is the end of the text that is trained on."""
    tokenizer = dataset.tokenizer
    window = max(1, min(WINDOW, dataset.train_characters, dataset.val_characters))
    size = min(len(dataset.train), SURVEYED_TOKENS)
    ends = LineEnds()
    validation = tokenizer.to_bytes(even_portions(dataset.val, MEASURED_TOKENS))
    overlap = Overlap(np.concatenate([np.empty(0, np.uint64), *all_hashes([validation], window)]))
    bytes_per_token = max(1.0, len(validation) / max(1, min(len(dataset.val), MEASURED_TOKENS)))
    repetition = Repetition(int(size * bytes_per_token))
    occurring = np.zeros(tokenizer.vocab_size, dtype=bool)
    with tqdm(
        total=size, desc="Reading the text", unit="tokens", unit_scale=True, delay=0.5, disable=not progress
    ) as bar:

        def pieces() -> Iterator[bytes]:
            for block in _blocks(dataset.train, SURVEYED_TOKENS):
                if interrupt is not None:
                    interrupt()
                occurring[block] = True
                text = tokenizer.to_bytes(block)
                ends.add(text)
                yield text
                bar.update(len(block))

        for hashes in all_hashes(pieces(), window):
            overlap.add(hashes)
            repetition.add(hashes)
    if not joined:
        ends.finish()
    for block in _blocks(dataset.val, SURVEYED_TOKENS):
        ends.add(tokenizer.to_bytes(block))
    ends.finish()
    return Content(
        lf=ends.lf,
        crlf=ends.crlf,
        cr=ends.cr,
        occurring=int(np.count_nonzero(occurring)),
        duplicated=repetition.share,
        overlap=overlap.share,
        measured=size / len(dataset.train),
    )


def _blocks(tokens: Tokens, most: int) -> Iterator[npt.NDArray[np.integer]]:
    """Yield tokens in blocks: all of them, or even portions of a longer text that make up `most`."""
    portions = -(-min(len(tokens), most) // _BLOCK)
    for number in range(portions):
        if len(tokens) <= most:
            yield np.asarray(tokens[number * _BLOCK : (number + 1) * _BLOCK])
        else:
            start = number * (len(tokens) - _BLOCK) // max(1, portions - 1)
            yield np.asarray(tokens[start : start + _BLOCK])
