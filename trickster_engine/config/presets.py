"""The configs that come with Trickster, from the smallest to the one nobody trains on a laptop."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from trickster_engine.config.check import check
from trickster_engine.config.plan import Plan

#: `sim` is for no machine that somebody trains on, so it comes last.
_NAMES = ("pico", "fast", "best", "nano", "nano-11m", "mini", "midi", "mega", "sim")


def preset_names() -> list[str]:
    """Return the names of all presets, smallest model first, and at the end the one for a simulated chip."""
    return list(_NAMES)


def preset_text(name: str) -> str:
    """Return the YAML text of a preset.

    Raises:
        KeyError: there is no preset of this name.

    """
    if name not in _NAMES:
        raise KeyError(name)
    return (Path(__file__).parent / "presets" / f"{name}.yaml").read_text(encoding="utf-8")


@cache
def preset_plan(name: str) -> Plan:
    """Return a preset as a plan.

    Raises:
        KeyError: there is no preset of this name.

    """
    plan = check(preset_text(name)).plan
    assert plan is not None, f"the preset {name} has an error"
    return plan
