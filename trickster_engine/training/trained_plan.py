"""The plan that a checkpoint was trained by, beside what the run's config.yaml says now.

A checkpoint keeps its plan as `trainer/plan.json`; of an older one the shape of its model is known from `config.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from trickster_engine.config.canonical import Values, parse_values, plan_from, values_of
from trickster_engine.config.plan import Plan
from trickster_engine.config.resumable import Change, fixed_changes
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import TRAINER_FOLDER, damaged, no_checkpoint
from trickster_engine.model.huggingface import read_model_config
from trickster_engine.system.files import read_text

PLAN_FILE = "plan.json"


def trained_values(folder: Path) -> Values:
    """What is known of the plan that a checkpoint was trained by. Raises TricksterError."""
    try:
        return parse_values(read_text(folder / TRAINER_FOLDER / PLAN_FILE))
    except FileNotFoundError:
        shape = asdict(read_model_config(folder))
        del shape["dropout"]  # no part of a model that is done learning
        return {f"model_config.{name}": value for name, value in shape.items()}
    except OSError as error:
        raise no_checkpoint(folder, error) from error
    except (ValueError, RecursionError) as error:
        raise damaged(folder, f"{PLAN_FILE}: {error}") from error


def require_unchanged(before: Values, plan: Plan, config_path: Path) -> None:
    """Raise TricksterError `fixed-for-the-run` where a run would go on as another one."""
    changes = fixed_changes(before, values_of(plan))
    if changes:
        why = " ".join(dict.fromkeys(change.why_not for change in changes))
        raise TricksterError(
            "fixed-for-the-run",
            f"In {config_path} {_listed(changes)}. That cannot change during a run. {why}",
            f"Resume with the old value ({_old_values(changes)}), or start a new run for another model, text or "
            "training method.",
        )


def plan_as_trained(folder: Path, plan: Plan) -> tuple[Plan, str | None]:
    """A run's plan with what its checkpoint knows better, and a note where config.yaml says otherwise by now.

    Raises TricksterError.
    """
    before = trained_values(folder)
    changes = fixed_changes(before, values_of(plan))
    if not changes:
        return plan, None
    changed = plan_from({**values_of(plan), **{change.key: change.before for change in changes}})
    note = f"In config.yaml {_listed(changes)} when {folder.name} was trained. The checkpoint's values are used."
    return changed or plan, note


def _listed(changes: list[Change]) -> str:
    return "; ".join(map(str, changes))


def _old_values(changes: list[Change]) -> str:
    return ", ".join(f"{change.key}: {json.dumps(change.before)}" for change in changes)
