"""An n-gram model writes what follows in the text, as often as it follows there."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.engine.conftest import dialogue
from trickster_engine.data.ngram_text import NgramWriter

TEXT = ("\n" + dialogue(20_000)).encode()


@pytest.mark.parametrize("order", [1, 2, 5, 9])
def test_everything_that_is_written_follows_in_the_text(order: int) -> None:
    known = {(TEXT + TEXT[:order])[at : at + order] for at in range(len(TEXT))}
    written = NgramWriter(TEXT, order).write(b"\n", b"\0", rows=20, longest=200, seed=3)
    assert {len(row) for row in written} == {200}
    for row in written:
        assert {row[at : at + order] for at in range(len(row) - order + 1)} <= known


@pytest.mark.parametrize("order", [2, 3])
def test_it_follows_as_often_as_in_the_text(order: int) -> None:
    context = b"th"[-(order - 1) :]
    following = Counter(
        TEXT[at + len(context)] for at in range(len(TEXT) - len(context)) if TEXT[at:].startswith(context)
    )
    drawn = Counter(row[0] for row in NgramWriter(TEXT, order).write(context, b"\0", rows=20_000, longest=1, seed=5))
    assert set(drawn) <= set(following)
    for byte, count in following.items():
        share = count / following.total()
        # Five standard deviations of so many draws.
        assert abs(drawn[byte] / 20_000 - share) < 5 * np.sqrt(share * (1 - share) / 20_000) + 1e-9


def test_an_item_ends_where_it_ends_and_the_seed_decides() -> None:
    writer = NgramWriter(b"\nab\nabc", 4)
    written = writer.write(b"\n", b"\n", rows=200, longest=50, seed=1)
    assert set(written) == {b"ab", b"abc"}
    assert written == writer.write(b"\n", b"\n", rows=200, longest=50, seed=1)
    assert written != writer.write(b"\n", b"\n", rows=200, longest=50, seed=2)
