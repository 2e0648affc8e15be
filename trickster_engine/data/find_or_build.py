"""A dataset is built once, and found again without reading its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from trickster_engine.config.corpus_files import LeftOut
from trickster_engine.data.cache import building, discard
from trickster_engine.data.dataset import Dataset, Labels, open_dataset
from trickster_engine.data.index import Index
from trickster_engine.errors import TricksterError


def open_known(index: Index, labels: Labels) -> Dataset | None:
    """The dataset that the index leads to, where it is there."""
    known = index.find()
    return open_dataset(known, labels) if known is not None else None


def find_or_build(
    index: Index,
    labels: Labels,
    content: Callable[[], tuple[object, Callable[[Path], None]]],
    left_out: LeftOut | None = None,
) -> Dataset:
    """Return the dataset of the index' files under its recipe, reading them only when the index does not know them.

    `content` reads the files once; it returns what identifies their content and a function that builds the dataset.
    """
    if (dataset := open_known(index, labels)) is not None:
        return dataset
    content_identity, build = content()
    target = index.cache / "datasets" / index.recipe.key(content_identity)
    dataset = open_dataset(target, labels)
    if dataset is None:
        if os.path.lexists(target):
            discard(target)
        with building(target) as scratch:
            build(scratch)
        dataset = read_back(target, labels)
    index.note(target, left_out)
    return dataset


def read_back(target: Path, labels: Labels) -> Dataset:
    """The dataset that was just written. Raises TricksterError `cache-damaged` where it cannot be opened."""
    dataset = open_dataset(target, labels)
    if dataset is None:
        raise TricksterError(
            "cache-damaged",
            f"The data just written to {target} does not read back correctly.",
            "Check the disk, or set TRICKSTER_CACHE_DIR to a folder on another one.",
        )
    return dataset
