"""A short form of `python -m tests.abuse.replaced`: nothing that lies in a file's place is followed or waited for."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.abuse import replaced
from tests.abuse.belongings import Belongings
from tests.abuse.faults import Host, build, needs_faults


@needs_faults
@pytest.mark.xdist_group("abuse-flips")
def test_what_lies_in_the_place_of_a_file_is_neither_followed_nor_waited_for(tmp_path: Path) -> None:
    with Host(tmp_path / "host", build(tmp_path)) as host:
        replacer = replaced.Replacer(Belongings(tmp_path / "place", host))
        cases = replacer.cases()
        written = {"lock", "events.jsonl", "samples.md", "log.txt", "stop", ".latest.json.tmp", ".config.yaml.tmp"}
        named = [c for c in cases if c.file.name in written and c.kind == "link" and c.command == "resume"]
        others = random.Random(4).sample(cases, 18)
        done = replaced.run(replacer, [*named, *others])
    # A hang is a hang at 20 s here: other tests share the machine.
    assert [str(case) for case in done if case.faults] == []
