"""What a fresh checkout installs is fixed by version and sum, and agrees with pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {
    "training.txt": ("dependencies", "server"),
    "dev.txt": ("dependencies", "server", "dev"),
    "server.txt": ("server",),
}
#: One build for each kind of processor and graphics card: no list of sums fits all.
APART = {"torch"}


def wanted(name: str) -> list[Requirement]:
    """A list of pyproject.toml. (tomllib comes with Python 3.11 only.)"""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(rf"^{name}\s*=\s*\[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return [Requirement(words) for words in re.findall(r'"([^"]+)"', match[1])]


def locked(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """The requirements of a lock with how many sums each has; a package may have a version for each Python."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for block in re.findall(r"^\S.*\n(?:[ \t].*\n)*", text, re.MULTILINE):
        requirement = Requirement(block.partition("\\")[0])
        sums = len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))
        found.setdefault(canonicalize_name(requirement.name), []).append((requirement, sums))
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_the_project_asks_for_with_sums(name: str) -> None:
    lock = locked(name)
    for requirement in (one for section in LOCKS[name] for one in wanted(section)):
        if requirement.name in APART:
            assert requirement.name not in lock
            continue
        entries = lock[canonicalize_name(requirement.name)]
        for entry, _ in entries:
            version = next(iter(entry.specifier)).version
            assert requirement.specifier.contains(version), (requirement, version)
    for entries in lock.values():
        for entry, sums in entries:
            assert [one.operator for one in entry.specifier] == ["=="], entry
            assert sums > 0, entry


def test_the_locks_agree_and_name_no_place() -> None:
    training, development = locked("training.txt"), locked("dev.txt")
    for package, entries in training.items():
        assert [str(entry) for entry, _ in development[package]] == [str(entry) for entry, _ in entries]
    for package, [(entry, _)] in locked("server.txt").items():
        assert entry.marker is None
        assert entry.specifier in [one.specifier for one, _ in training[package]]
    for name in LOCKS:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "-url" not in text
