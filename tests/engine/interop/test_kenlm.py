"""Our n-grams against KenLM's, which nobody here wrote: probabilities that its own programs printed.

`tests/benchmarks/kenlm.py` has asked them, and says for which texts. What is left between the two has three causes, all
of them at a text's ends or in its unigrams: KenLM counts the beginning and the end of a line, and takes constants off
unigram counts where a text is too small to estimate them.
"""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.engine.conftest import dialogue
from trickster_engine.data.kneser_ney import Floats, predict

KEPT = Path(__file__).with_name("kenlm.json")
MADE_UP = "dialogue"


def made_up() -> tuple[bytes, bytes]:
    """A training text and one to predict, the same everywhere."""
    return dialogue(60_000).encode(), dialogue(1_000, seed=8).encode()


def _losses(train: bytes, val: bytes, order: int, rows: int | None = None) -> Floats:
    """What our model makes of `val[1:]`, in nats, with KenLM's vocabulary or with so many rows."""
    known = np.unique(np.frombuffer(train + val, dtype=np.uint8))
    tokens = [np.searchsorted(known, np.frombuffer(text, dtype=np.uint8)) for text in (train, val)]
    models = predict(lambda: [tokens[0]], tokens[1], rows or len(known) + 2, dynamic=False)
    return list(islice(models, order))[-1].losses


@pytest.mark.parametrize("order", [3, 4, 5])
def test_each_byte_is_as_likely_to_kenlm(order: int) -> None:
    theirs = np.array(json.loads(KEPT.read_text(encoding="utf-8"))[MADE_UP][str(order)][1:])
    ours = _losses(*made_up(), order)
    assert np.abs(ours - theirs).max() < 0.05
    assert np.median(np.abs(ours - theirs)) < 1e-3
    assert ours.mean() == pytest.approx(theirs.mean(), abs=1e-3)


def test_the_bar_of_tiny_shakespeare_is_kenlms() -> None:
    folder = os.environ.get("TRICKSTER_CORPUS_DIR")
    if not folder or not Path(folder, "tinyshakespeare.txt").is_file():
        pytest.skip("TRICKSTER_CORPUS_DIR has no tinyshakespeare.txt")
    whole = Path(folder, "tinyshakespeare.txt").read_bytes()
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["tinyshakespeare"]
    train, val = whole[: kept["train_bytes"]], whole[kept["train_bytes"] :]
    for order, theirs in kept["nats_a_byte"].items():
        assert _losses(train, val, int(order)).mean() == pytest.approx(theirs, abs=2e-4), f"order {order}"
        # As the lesson says, with a row for each byte there is, most of which never occur.
        assert _losses(train, val, int(order), 256).mean() == pytest.approx(theirs, abs=1e-3), f"order {order}"
