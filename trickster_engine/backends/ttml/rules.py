"""What ttml cannot do, refused before a device is opened: the very rules that the editor shows for device_type: tt.

A config that says `device_type: auto` meets them only here, on a machine that turns out to have a board.
"""

from __future__ import annotations

import dataclasses

from trickster_engine.config.check import check
from trickster_engine.config.keys import SECTIONS
from trickster_engine.config.plan import DeviceConfig, Plan
from trickster_engine.config.problems import Problem
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.errors import TricksterError


def check_rules(plan: Plan) -> None:
    """Raise TricksterError for the first thing that Tenstorrent boards cannot do, and one CPU can."""
    on_board = dataclasses.replace(plan.device, device_type="tt")
    elsewhere = {(problem.code, problem.key) for problem in _errors(plan, DeviceConfig("cpu"))}
    for problem in _errors(plan, on_board):
        if (problem.code, problem.key) not in elsewhere:
            advice = " or ".join(fix.title[0].lower() + fix.title[1:] for fix in problem.fixes)
            raise TricksterError(
                problem.code,
                problem.message,
                f"{advice[0].upper() + advice[1:]}." if advice else "Change the config, or train on another device.",
            )


def _errors(plan: Plan, device: DeviceConfig) -> list[Problem]:
    text = _as_text(dataclasses.replace(plan, device=device))
    return [problem for problem in check(text).problems if problem.severity == "error"]


def _as_text(plan: Plan) -> str:
    lines = []
    for section in SECTIONS.values():
        values = getattr(plan, section.attribute)
        lines.append(f"{section.name}:")
        lines += [f"  {name}: {as_yaml(getattr(values, name))}" for name in section.keys]
    return "\n".join(lines) + "\n"
