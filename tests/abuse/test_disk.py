"""A short form of `python -m tests.abuse.disk`: whatever the disk does is said, and nothing saved is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.abuse import disk
from tests.abuse.faults import Host, build, needs_faults
from tests.abuse.place import Place

SOME = tuple(small for small in disk.SMALL_DISKS if small.name in ("160 kB",))


@needs_faults
@pytest.mark.xdist_group("abuse-disk")
def test_a_disk_that_fails_at_any_call_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    with Host(tmp_path / "host", build(tmp_path)) as host:
        place = Place(tmp_path / "place", host)
        mishaps = disk.run(place, disk.chosen(disk.calls_of_a_run(place), 6, random.Random(5)))
    assert [str(mishap) for mishap in mishaps if mishap.faults] == []


@needs_faults
@pytest.mark.skipif(disk.mountable() is not None, reason=str(disk.mountable()))
@pytest.mark.xdist_group("abuse-disk")
def test_a_full_disk_is_called_full_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    results = disk.small_disks(tmp_path, build(tmp_path), SOME)
    assert [result for result in results if result["faults"]] == []
