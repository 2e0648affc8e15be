"""A short form of `python -m tests.abuse.kills`: no kill loses what was saved, and the end is the same to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.abuse import kills
from tests.abuse.faults import Host, build, needs_faults
from tests.abuse.place import Place


@needs_faults
@pytest.mark.xdist_group("abuse-kills")
def test_killed_at_a_save_or_anywhere_nothing_is_lost_and_the_end_is_the_same(tmp_path: Path) -> None:
    with Host(tmp_path / "host", build(tmp_path)) as host:
        results = kills.run(Place(tmp_path / "place", host), 9, seed=3, aimed_share=0.6)
    assert sum(result.killed for result in results) >= 6
    faults = [(str(r.kill), r.lost, r.different, r.unexpected) for r in results if not r.good]
    assert not faults
