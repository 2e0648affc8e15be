"""A short form of `python -m tests.abuse.flips`: no flipped bit changes a result without a word."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.abuse import flips
from tests.abuse.belongings import Belongings
from tests.abuse.faults import Host, build, needs_faults


@needs_faults
@pytest.mark.xdist_group("abuse-flips")
def test_a_flipped_bit_is_detected_or_changes_nothing(tmp_path: Path) -> None:
    with Host(tmp_path / "host", build(tmp_path)) as host:
        belongings = Belongings(tmp_path / "place", host)
        found = flips.run(belongings, flips.chosen(belongings, 8, random.Random(2)))
    assert [str(one) for one in found if one.kind not in flips.GOOD] == []
    assert any(one.kind == "detected" for one in found)
