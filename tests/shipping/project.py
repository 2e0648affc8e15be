"""What pyproject.toml asks for."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def wanted(name: str) -> list[Requirement]:
    """A list of pyproject.toml. (tomllib comes with Python 3.11 only.)"""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    match = re.search(rf"^{name}\s*=\s*\[(.*?)\]", text, re.DOTALL | re.MULTILINE)
    assert match is not None
    return [Requirement(words) for words in re.findall(r'"([^"]+)"', match[1])]
