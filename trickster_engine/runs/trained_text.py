"""The text that a run was trained on, and no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trickster_engine.config.corpus_files import BUILT_IN_CORPORA
from trickster_engine.config.plan import Plan
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, RunIdentity
from trickster_engine.runs.initial import with_own_tokenizer
from trickster_engine.system.files import in_command, path_meant

_NOT_THERE = ("corpus-missing", "data-file-missing")
_PLACES = ("train_data", "val_data", "tokenizer")
_NAMES = (*BUILT_IN_CORPORA, "byte", "char", "bpe")


def trained_text(run: RunDirectory, plan: Plan, identity: RunIdentity, *, progress: bool = False) -> Dataset:
    """The tokens that a run was trained and measured on.

    Raises TricksterError: data-changed where its text is another now, and what `prepare` raises where it is gone.
    """
    config = run.origin(identity)
    folder = config.parent
    try:
        dataset = prepare(with_own_tokenizer(run, plan), folder, config=config, progress=progress)
    except TricksterError as error:
        raise place_asked_for(
            error, plan, identity, folder, f"Change {{key}} in {run.config_path} to {{place}}."
        ) from None
    if dataset.fingerprint != identity.data["fingerprint"]:
        raise TricksterError(
            "data-changed",
            "The text has changed since this run was trained, so a measurement on it proves nothing.",
            "Restore the old text, or train a new run on the new one.",
        )
    return dataset


def place_asked_for(
    error: TricksterError, plan: Plan, identity: RunIdentity, folder: Path, remedy: str
) -> TricksterError:
    """The error for a text that is not where it was, with how to say where it is now; any other error as it is.

    `folder` is what the config's paths are relative to by now. `remedy` says what to do, with `{key}` and `{place}`, or
    `{setting}` for both as a shell takes them.
    """
    if error.code not in _NOT_THERE:
        return error
    then = Path(identity.config_path).parent
    named = [(key, getattr(plan.data, key)) for key in _PLACES]
    for key, written in [*named, *(("corpus", source.path) for source in plan.data.sources)]:
        if written is None or written in _NAMES or path_meant(folder, written).exists():
            continue
        place, found = path_meant(folder, written), "its new path"
        if place.is_relative_to(then) and (moved := folder / place.relative_to(then)).exists():
            found = str(moved)
        if key == "corpus" and not isinstance(plan.data.corpus, str):  # the others stay, and so do the weights
            sources = [replace(source, path=found) if source.path == written else source for source in plan.data.corpus]
            found = as_yaml(sources)
        name = f"data_config.{key}"
        advice = "You may move the text, as long as it does not change. " + remedy.format(
            key=name, place=found, setting=in_command(f"{name}={found}")
        )
        return TricksterError(error.code, error.message, advice, error.exit_code)
    return error
