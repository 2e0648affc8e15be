"""What `run.json` and `config.yaml` of a run say, read again only where they are other files than before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from trickster_engine.config.plan import Plan
from trickster_engine.runs import IDENTITY_FILE, RunDirectory, RunIdentity
from trickster_engine.runs.planned import planned_steps
from trickster_server.lsp.messages.runs import Phase
from trickster_server.paths import file_key


class Identified(NamedTuple):
    """What `run.json` says, and by what it is known that it says it still."""

    stamp: tuple[int, ...] | None = None
    identity: RunIdentity | None = None
    config_path: str | None = None
    config_file: str | None = None


class Planned(NamedTuple):
    """What `config.yaml` plans, and by what it is known that it does still."""

    stamp: tuple[int, ...] | None = None
    steps: int | None = None
    plan: Plan | None = None
    checked: bool = False
    """Whether the whole config was checked, or only its number of steps was read."""


def identify(directory: RunDirectory, before: Identified) -> Identified:
    """What `run.json` says; as before where it is the same, or says nothing."""
    stamp = _stamp(directory.path / IDENTITY_FILE)
    if stamp is None or stamp == before.stamp:
        return before
    identity = directory.identity_if_readable()
    if identity is None:
        return before
    origin = str(directory.origin(identity))
    return Identified(stamp, identity, origin, file_key(origin))


def look_at_plan(directory: RunDirectory, before: Planned, check: bool) -> Planned:
    """What `config.yaml` plans; a resume may have changed it. `check`: all of it, not only the number of steps."""
    stamp = _stamp(directory.config_path)
    if stamp == before.stamp and before.checked >= check:
        return before
    if not check:
        return Planned(stamp, planned_steps(directory))
    plan = directory.plan_if_readable()
    return Planned(stamp, plan.training.max_steps if plan else None, plan, True)


def phases_of(plan: Plan) -> list[Phase]:
    """The lesson's phases of a run: the learning rate rises, the model improves fast, then slowly."""
    steps = plan.training.max_steps
    warm = min(plan.training.warmup_steps, steps)
    middle = max(warm, round(steps / 2))
    phases = [
        Phase("Warm-up", "the learning rate rises; the loss falls fast", 0, warm),
        Phase("Main", "steady improvement: letters, words, lines", warm, middle),
        Phase("Refinement", "smaller gains while the learning rate falls", middle, steps),
    ]
    return [phase for phase in phases if phase.end > phase.begin]


def _stamp(path: Path) -> tuple[int, ...] | None:
    """By what it is known that a file is still the same."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
