"""How text is sampled from a run's model: by its own `sampling_config`, with what a person changes for once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from trickster_engine.config import check, set_values
from trickster_engine.config.plan import SamplingConfig
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, is_run_directory

_NAMES = [field.name for field in fields(SamplingConfig) if field.name != "prompt"]


def sampling_settings(path: Path, changes: Mapping[str, object]) -> SamplingConfig:
    """The settings of the run that `path` is or lies in, the defaults where there is none, with `changes` by name.

    Other names in `changes` are passed over, and so is None. Raises TricksterError where a value is out of its range,
    and as `RunDirectory.plan` does where the run's config cannot be used.
    """
    run = next((folder for folder in (path, *path.parents) if is_run_directory(folder)), None)
    known = run is not None and os.path.lexists(RunDirectory(run).config_path)
    settings = RunDirectory(run).plan().sampling if run and known else SamplingConfig()
    given = {name: changes[name] for name in _NAMES if changes.get(name) is not None}
    for problem in check(set_values("", {f"sampling_config.{name}": repr(given[name]) for name in given})).problems:
        if problem.severity == "error":
            raise TricksterError(problem.code, problem.message, "Choose a value in that range.", 2)
    return replace(settings, **given)  # type: ignore[arg-type]  # each was held to its type above
