"""`initial/` in a run's folder: a copy of the weights that it started from, for a run that fine-tunes.

Resuming, comparing and reports use the copy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trickster_engine.config import set_values
from trickster_engine.config.check import settings_of
from trickster_engine.config.plan import ModelConfig, Plan
from trickster_engine.config.plan_values import values_of
from trickster_engine.config.starting_weights import SHAPE
from trickster_engine.errors import TricksterError
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs.directory import INITIAL_FOLDER, RunDirectory
from trickster_engine.runs.model_copy import copied_from, copied_model, copy_model

_TOKENIZER = "data_config.tokenizer"


def written_out(text: str, plan: Plan) -> str:
    """A config's text in which every key that follows `init_from`'s folder has its value: it needs that no more.

    Raises TricksterError where the text has no place for one.
    """
    if plan.model.init_from is None:
        return text
    given, values = settings_of(text).given, values_of(plan)
    follows = [path for path in (*(f"model_config.{name}" for name in SHAPE), _TOKENIZER) if path not in given]
    written = {path: value if isinstance(value := values[path], str) else json.dumps(value) for path in follows}
    return set_values(text, written)


def copy_initial(run: RunDirectory, plan: Plan, source: Path) -> None:
    """Copy the weights in `source` into a run whose lock is held. Raises TricksterError, and then leaves nothing."""
    copy_model(run, INITIAL_FOLDER, source, plan.model.init_from, lambda config: _require_shape(run, plan, config))


def initial_origin(run: RunDirectory) -> dict[str, Any]:
    """Where the weights of a run that fine-tunes came from, for `run.json`; empty for one from random weights."""
    return copied_from(run, INITIAL_FOLDER)


def initial_weights(run: RunDirectory, plan: Plan) -> Mapping[str, Array]:
    """The weights that a run of this plan starts from, read when they are asked for. Raises TricksterError."""
    try:
        config, weights = copied_model(run, INITIAL_FOLDER)
    except TricksterError as error:
        raise TricksterError(
            "initial-weights-damaged",
            f"The copy of the weights that {run.id} starts from is damaged or gone. {error.message}",
            "Restore it, or start a new run.",
        ) from error
    _require_shape(run, plan, config)
    return weights


def _require_shape(run: RunDirectory, plan: Plan, config: ModelConfig) -> None:
    folder = run.path / INITIAL_FOLDER
    for name in SHAPE:
        if name != "max_seq_len" and getattr(config, name) != getattr(plan.model, name):
            raise TricksterError(
                "initial-weights-damaged",
                f"{folder} is of another model: its {name} is {getattr(config, name)}, and in {run.config_path} it is "
                f"{getattr(plan.model, name)}.",
                "Restore the run's folder, or start a new run.",
            )


def with_own_tokenizer(run: RunDirectory, plan: Plan) -> Plan:
    """A run's plan whose tokenizer is that of the run's own copy, where it came with the weights."""
    if plan.model.init_from is None or plan.data.tokenizer != plan.model.init_from:
        return plan
    return replace(plan, data=replace(plan.data, tokenizer=str(run.path / INITIAL_FOLDER / "tokenizer.json")))
