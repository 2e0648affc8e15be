"""A short form of `python -m tests.abuse.moved`: a run that is taken from its trainer is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.abuse import moved
from tests.abuse.faults import Host, build, needs_faults
from tests.abuse.place import Place

SHORT = ("run moved", "run deleted", "lock replaced", "checkpoints replaced by a link")


@needs_faults
@pytest.mark.xdist_group("abuse-kills")
def test_a_run_that_is_taken_from_its_trainer_is_saved_beside_it(tmp_path: Path) -> None:
    moves = [moved.Move(name, ("checkpoint", 6)) for name in SHORT]
    with Host(tmp_path / "host", build(tmp_path)) as host:
        moved.run(Place(tmp_path / "place", host), moves)
    assert [str(move) for move in moves if move.faults] == []
