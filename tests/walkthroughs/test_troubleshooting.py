"""Each heading of the troubleshooting pages is the code of a message that exists."""

from __future__ import annotations

import re

import pytest

from tests.walkthroughs.pages import ROOT, TROUBLE, page

SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("trickster_engine", "server/trickster_server")
    for path in (ROOT / folder).rglob("*.py")
)
#: What a beginner meets first, and the four: data not found, loss not a number, loss not falling, out of memory.
OWED = ("not-trusted", "torch-missing", "corpus-missing", "loss-not-finite", "loss-not-falling", "out-of-memory")


def headings(name: str) -> list[str]:
    return re.findall(r"^## (.+)$", page(name), flags=re.MULTILINE)


@pytest.mark.parametrize("name", TROUBLE)
def test_headings_are_codes_of_messages(name: str) -> None:
    found = headings(name)
    assert len(found) == len(set(found))
    for heading in found:
        if re.fullmatch(r"[a-z-]+", heading):
            assert f'"{heading}"' in SOURCES, heading
    assert sum(bool(re.fullmatch(r"[a-z-]+", heading)) for heading in found) >= len(found) - 1


def test_the_failures_that_everybody_meets_are_there() -> None:
    assert set(OWED) <= set(headings("troubleshooting"))
