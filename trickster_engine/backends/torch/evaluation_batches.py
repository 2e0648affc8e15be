"""How much an evaluation on a GPU does at once: small batches would leave most of it idle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from trickster_engine.backends.base import Batch
from trickster_engine.config.plan import ModelConfig

#: What an evaluation may need beside the weights, roughly.
EVALUATION_BYTES: Final = 1 << 29


def rows_at_once(model: ModelConfig) -> int:
    """How many full contexts to do at once, so that one block's intermediate results and the logits stay in bounds.

    It follows from the model alone, not from what is free at the moment: another number sums in another order, and a
    resumed run would find another loss.
    """
    by_token = 4 * (6 * model.hidden_dim + 3 * model.mlp_dim + 3 * model.vocab_size)
    return max(1, EVALUATION_BYTES // (by_token * model.max_seq_len))


def merged(batches: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """The same rows in the same order, up to `rows` together where they are equally long."""
    waiting: list[Batch] = []
    for batch in batches:
        full = sum(len(inputs) for inputs, _ in waiting) + len(batch[0]) > rows
        if waiting and (full or batch[0].shape[1] != waiting[0][0].shape[1]):
            yield _joined(waiting)
            waiting = []
        waiting.append(batch)
    if waiting:
        yield _joined(waiting)


def _joined(batches: Sequence[Batch]) -> Batch:
    inputs, targets = zip(*batches, strict=True)
    return np.concatenate(inputs), np.concatenate(targets)
