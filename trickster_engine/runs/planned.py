"""How many steps a run plans, without checking its whole config: a list of two thousand runs is waited for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from trickster_engine.system.files import read_text

if TYPE_CHECKING:
    from trickster_engine.runs.directory import RunDirectory

CONFIG_LIMIT = 1 << 20
#: Lines that mean the same wherever they stand: an empty one, a section, or a key with a value that ends in its line.
_SECTION = re.compile(r"(\w+):[ \t]*(?:#.*)?")
_ENTRY = re.compile(
    r""" {1,8}(\w+): +((?:[\w.~/+-][\w.~/+ -]*|"[^"\\]*"|'[^']*'|\[[\d, ]*\]))[ \t]*(?:(?<=[ \t])#.*)?"""
)
_SKIPPED = re.compile(r"[ \t]*(?:#.*)?")


def planned_steps(run: RunDirectory) -> int | None:
    """`max_steps` of the run's config; None where it cannot be read."""
    try:
        text = read_text(run.config_path, CONFIG_LIMIT)
    except (OSError, ValueError):
        return None
    found = _plainly_written(text)
    if found is not None:
        return found
    plan = run.plan_if_readable()
    return plan.training.max_steps if plan else None


def _plainly_written(text: str) -> int | None:
    """The value of the one `max_steps` in a text of plain lines; None where YAML has to be asked what they mean."""
    section, steps = "", None
    for line in text.split("\n"):
        if entry := _ENTRY.fullmatch(line):
            if entry[1] == "max_steps":
                if section != "training_config" or steps is not None or not re.fullmatch(r"[1-9]\d{0,11} *", entry[2]):
                    return None
                steps = int(entry[2])
        elif begun := _SECTION.fullmatch(line):
            section = begun[1]
        elif not _SKIPPED.fullmatch(line):
            return None
    return steps
