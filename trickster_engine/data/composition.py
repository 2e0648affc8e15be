"""Several sources with weights made into one text to train on and one for validation.

Each source is split by its own share, as it would be alone. Its training part is in the training text `weight` times;
its validation part is in the validation text once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from trickster_engine.config.keys.data import DataConfig
from trickster_engine.config.split import validation_size
from trickster_engine.data.corpus import Corpus
from trickster_engine.data.document_choice import DROPPED, TRAINING, VALIDATION, Documents, choose, chosen
from trickster_engine.data.extraction import plain_corpus
from trickster_engine.data.near_duplicates import grouped
from trickster_engine.data.scan import scan
from trickster_engine.data.sharded.work_folder import storing
from trickster_engine.system.files import create_file, write_text_atomically

_DONE = "composed"


def compose(
    corpora: Sequence[Corpus], folder: Path, data: DataConfig, interrupt: Callable[[], None] | None
) -> tuple[Corpus, Corpus]:
    """Write the training text and the validation text of several sources, each one plain text file.

    Copies are left out within a source where `data` says so; of all training text what is validation text of any
    source always is. Raises TricksterError: corpus-one-document, needs-rensa, disk-full, cache-unwritable.
    """
    fraction = data.val_fraction
    paths = folder / "train.txt", folder / "val.txt"
    name = " and ".join(dict.fromkeys(corpus.name for corpus in corpora))
    if not (folder / _DONE).is_file():
        with storing(folder):
            for path in paths:
                path.unlink(missing_ok=True)
        scans = [
            scan(_read(corpus, interrupt), want_alphabet=False, documents=not corpus.reading.is_stream)
            for corpus in corpora
        ]
        if corpora[0].reading.is_stream:
            sizes = [one.characters - validation_size(one.characters, fraction) for one in scans]
            for path, part in zip(paths, (TRAINING, VALIDATION), strict=True):
                _write(path, _stream(corpora, sizes, part, interrupt))
        else:
            documents = [Documents.from_text(one.documents) for one in scans]
            if data.drop_near_duplicates:
                documents = grouped(documents, (_read(corpus, interrupt) for corpus in corpora), folder, interrupt)
            choices = _choices(corpora, documents, fraction, drop=data.drops)
            for path, part in zip(paths, (TRAINING, VALIDATION), strict=True):
                _write(path, _documents(corpora, choices, part, interrupt))
        with storing(folder):
            write_text_atomically(folder / _DONE, "")
    train, val = (replace(plain_corpus(corpora[0], path), name=name, weight=1) for path in paths)
    return train, val


def _read(corpus: Corpus, interrupt: Callable[[], None] | None) -> Iterator[str]:
    for chunk in corpus.text_chunks():
        if interrupt is not None:
            interrupt()
        yield chunk


def _times(corpus: Corpus, part: int) -> int:
    return corpus.weight if part == TRAINING else 1


def _stream(
    corpora: Sequence[Corpus], sizes: Sequence[int], part: int, interrupt: Callable[[], None] | None
) -> Iterator[str]:
    """The parts of streams, joined by one newline."""
    begun = False
    for corpus, size in zip(corpora, sizes, strict=True):
        for _ in range(_times(corpus, part)):
            if begun:
                yield "\n"
            begun = True
            yield from _between(_read(corpus, interrupt), *((0, size) if part == TRAINING else (size, None)))


def _between(chunks: Iterable[str], begin: int, end: int | None) -> Iterator[str]:
    at = 0
    for chunk in chunks:
        if end is not None and at >= end:
            return
        yield chunk[max(0, begin - at) : None if end is None else end - at]
        at += len(chunk)


def _choices(corpora: Sequence[Corpus], documents: Sequence[Documents], fraction: float, *, drop: bool) -> list[str]:
    """Where each document of each source belongs; none is trained on that any source has for validation."""
    digits = [
        np.frombuffer(choose(listed, fraction, corpus.name, drop=drop).encode(), np.uint8) - ord("0")
        for corpus, listed in zip(corpora, documents, strict=True)
    ]
    held = np.concatenate([listed.sums[to == VALIDATION] for listed, to in zip(documents, digits, strict=True)])
    return [
        "".join(map(str, np.where((to == TRAINING) & np.isin(listed.sums, held), DROPPED, to).tolist()))
        for listed, to in zip(documents, digits, strict=True)
    ]


def _documents(
    corpora: Sequence[Corpus], choices: Sequence[str], part: int, interrupt: Callable[[], None] | None
) -> Iterator[str]:
    for corpus, choice in zip(corpora, choices, strict=True):
        for _ in range(_times(corpus, part)):
            yield from chosen(_read(corpus, interrupt), choice, part)


def _write(path: Path, chunks: Iterable[str]) -> None:
    with storing(path), contextlib.closing(create_file(path)) as stream:
        for chunk in chunks:
            stream.write(chunk.encode("utf-8"))
