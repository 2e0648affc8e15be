"""The text that a run was trained on, and no other."""

from __future__ import annotations

from pathlib import Path

from trickster_engine.config.plan import Plan
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunIdentity


def trained_text(plan: Plan, identity: RunIdentity, *, progress: bool = False) -> Dataset:
    """The tokens that a run was trained and measured on.

    Raises TricksterError: data-changed where its text is another now, and what `prepare` raises where it is gone.
    """
    dataset = prepare(plan, Path(identity.config_path).parent, config=Path(identity.config_path), progress=progress)
    if dataset.fingerprint != identity.data["fingerprint"]:
        raise TricksterError(
            "data-changed",
            "The text has changed since this run was trained, so what the model makes of it proves nothing.",
            "Put the old text back, or train a new run on the new one.",
        )
    return dataset
