"""Removes a run from the disk: its directory, and what its config has put elsewhere under its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from trickster_engine.files import path_meant
from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_server.paths import file_key
from trickster_server.runs.followed import plan_of


def delete(run: RunDirectory, others: Iterable[RunDirectory]) -> None:
    """Remove a run for good; a later run of its name must find nothing of it.

    `others` are the runs whose checkpoints and logs must stay. Raises OSError; what could be removed is gone then, and
    the run's directory is the last to go, so that the rest can be asked for again.
    """
    used = {file_key(folder) for other in others if other.id == run.id for folder in folders_elsewhere(other)}
    for folder in folders_elsewhere(run):
        if file_key(folder) not in used:
            shutil.rmtree(folder)
    shutil.rmtree(run.path)


def folders_elsewhere(run: RunDirectory) -> list[Path]:
    """The folders of a run that are there and not in its directory: of its checkpoints, and of its log."""
    plan, identity = plan_of(run), run.identity_if_readable()
    if plan is None or identity is None or not isinstance(identity.config_path, str):
        return []
    found: list[Path] = []
    if plan.output.checkpoint_dir:
        found.append(run.checkpoints_folder())
    if plan.output.log_dir:
        found.append(path_meant(Path(identity.config_path).parent, plan.output.log_dir) / run.id)
    return [folder for folder in {file_key(path): path for path in found}.values() if _is_its_own(folder, run)]


def _is_its_own(folder: Path, run: RunDirectory) -> bool:
    """Whether a folder holds nothing but what this run has put there, outside its directory."""
    if os.path.islink(folder) or not os.path.isdir(folder) or is_run_directory(folder):  # noqa: PTH112, PTH114
        return False
    its, directory = Path(file_key(folder)), Path(file_key(run.path))
    return not (its.is_relative_to(directory) or directory.is_relative_to(its))
