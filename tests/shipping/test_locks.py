"""What a fresh checkout installs is fixed by version and sum, and agrees with pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.shipping.project import ROOT, wanted

LOCKS = {
    "training.txt": ("dependencies", "server"),
    "dev.txt": ("dependencies", "server", "dev"),
    "server.txt": ("server",),
}
#: One build for each kind of processor and graphics card: no list of sums fits all.
APART = {"torch"}


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


def test_the_pytorch_of_a_fresh_checkout_is_one_that_the_project_works_with() -> None:
    (line,) = [one for one in (ROOT / "requirements/torch.txt").read_text("utf-8").splitlines() if one[:1] != "#"]
    pinned = Requirement(line)
    (wants,) = [one for one in wanted("dependencies") if one.name == "torch"]
    assert wants.specifier.contains(next(iter(pinned.specifier)).version)
    assert str(pinned) == "torch==" + next(iter(pinned.specifier)).version


def test_an_environment_with_a_pytorch_that_works_keeps_it() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "requirements/install_torch.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"PyTorch {version('torch')} is here already, and stays.\n"


def test_the_locks_agree_and_name_no_place() -> None:
    training, development = locked("training.txt"), locked("dev.txt")
    for package, entries in training.items():
        # Not their markers: what training needs on some systems, tests may need on all.
        assert {str(entry.specifier) for entry, _ in development[package]} == {
            str(entry.specifier) for entry, _ in entries
        }
    for package, [(entry, _)] in locked("server.txt").items():
        assert entry.marker is None
        assert entry.specifier in [one.specifier for one, _ in training[package]]
    for name in LOCKS:
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "-url" not in text
