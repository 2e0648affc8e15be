"""The folders in which an agent may act. A person names them when the door is opened; an agent cannot add any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from trickster_engine.config.check import CheckResult, check, settings_of
from trickster_engine.config.corpus_files import BUILT_IN_CORPORA, find_text_files
from trickster_engine.config.keys import KEYS, PLACE_TYPES
from trickster_engine.config.keys.data import CorpusSource
from trickster_engine.config.own_output import own_output
from trickster_engine.config.plan import Plan
from trickster_engine.config.settings import leads_away
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_engine.runs.search import search
from trickster_engine.system.files import path_meant, read_text
from trickster_engine.system.os_errors import reason

LONGEST_CONFIG = 1 << 18
"""Bytes of a config that an agent may name or write."""
MOST_CORPUS_FILES = 20_000
"""Entries of a folder of text that are looked at, to see that none leads out of the trusted folders."""
_MOST_MODEL_FILES = 500
_NAMES_A_MODEL = frozenset({"model_config.init_from", "training_config.distill_from", "data_config.tokenizer"})


class TrustedFolders:
    """Where everything that an agent names must lie, once links are resolved; and where its alerts may be sent."""

    def __init__(self, folders: Sequence[Path], webhooks: Sequence[str] = ()) -> None:
        """Raises TricksterError where one is no folder."""
        self._webhooks = frozenset(webhooks)
        self.folders: list[Path] = []
        for folder in folders:
            try:
                real = folder.resolve(strict=True)
            except (OSError, RuntimeError) as error:
                why = reason(error) if isinstance(error, OSError) else "its links go in a circle"
                raise TricksterError(
                    "folder-missing", f"{folder} cannot be trusted: {why}.", "Name a folder that exists.", 2
                ) from error
            if not real.is_dir():
                raise TricksterError("folder-missing", f"{folder} is not a folder.", "Name the folder it is in.", 2)
            self.folders.append(real)

    def place(self, written: str) -> Path:
        """The place that an agent names, with links resolved; what is not absolute lies below the first folder.

        Raises TricksterError: untrusted-folder.
        """
        if "\0" in written or not written:
            raise TricksterError("untrusted-folder", f"{written!r} is no path.", self._advice())
        path = path_meant(self.folders[0], written)
        self.require(path, "The path")
        return _real(path)

    def require(self, path: Path, what: str) -> None:
        """Raise TricksterError, untrusted-folder, where a path leads out of the trusted folders."""
        real = _real(path)
        if not any(real.is_relative_to(folder) for folder in self.folders):
            to = f", which is {real}," if real != path else ""
            raise TricksterError(
                "untrusted-folder",
                f"{what} {path}{to} is outside the folders that this server may use.",
                self._advice(),
            )

    def _advice(self) -> str:
        named = ", ".join(map(str, self.folders))
        return (
            f"It may use {named}. Only a person can add a folder, with --folder in the command that starts this server."
        )

    # ---- configs ----------------------------------------------------------------------------------------------------

    def config(self, written: str) -> tuple[Path, str]:
        """The config that an agent names, and its text. Raises TricksterError."""
        path = self.place(written)
        try:
            return path, read_text(path, LONGEST_CONFIG)
        except OSError as error:
            raise TricksterError(
                "config-unreadable", f"Cannot read {path}: {reason(error)}.", "Name a config file, or pass its text."
            ) from error
        except ValueError as error:
            raise TricksterError("not-text", f"{path} is not UTF-8 text.", "Save it as UTF-8.") from error

    def checked(self, text: str, folder: Path) -> CheckResult:
        """Check a config in `folder`, after making sure that whatever it names is trusted. Raises TricksterError.

        The file system is looked at only then: else a config could ask what lies elsewhere.
        """
        for key, written in _places_in(text):
            if leads_away(folder, written):
                raise TricksterError("untrusted-folder", f"{key} names {written}, on another machine.", self._advice())
            path = path_meant(folder, written)
            self.require(path, f"{key} names")
            if key in _NAMES_A_MODEL:
                self.require_files_of(path)
        result = check(text, folder)
        if result.plan is not None:
            # Also where the config leaves it out: a link may lie at the default's name.
            self.require(path_meant(folder, result.plan.output.output_dir), "output_config.output_dir is")
            self.require_corpus(result.plan, folder)
        return result

    def require_webhook(self, plan: Plan) -> None:
        """Refuse alerts to an address that no person named: an agent could have anything sent anywhere.

        Raises TricksterError: untrusted-webhook. The address is not repeated: it may hold a secret.
        """
        if plan.alerts.webhook is not None and plan.alerts.webhook not in self._webhooks:
            raise TricksterError(
                "untrusted-webhook",
                "alerts_config.webhook names an address that this server may not have alerts sent to.",
                "Leave it out: list_runs and events_since show alerts too. Only a person can allow the address, with "
                "--webhook in the command that starts this server.",
            )

    def require_files_of(self, model: Path) -> None:
        """The weights and the tokenizer that a config names are read through links: they too must be trusted."""
        try:
            files = sorted(model.iterdir())[:_MOST_MODEL_FILES]
        except OSError:
            return  # no folder; the check says so
        for file in files:
            self.require(file, "A model's folder contains")

    def require_corpus(self, plan: Plan, folder: Path) -> None:
        """Refuse a folder of text with a link in it that leads out of the trusted folders. Raises TricksterError.

        What else is wrong with a text is said by whoever reads it.
        """
        own = own_output(plan.output, folder)
        named = (*(one.path for one in plan.data.sources), plan.data.train_data, plan.data.val_data)
        for name in (one for one in named if one is not None and one not in BUILT_IN_CORPORA):
            try:
                files = find_text_files(name, folder, MOST_CORPUS_FILES, own=own, selection=plan.data.selection).files
            except TricksterError as error:
                if error.code == "corpus-too-many-files":
                    raise
                continue
            for file in files:
                self.require(file.path, "The corpus contains")

    # ---- runs -------------------------------------------------------------------------------------------------------

    def runs(self) -> list[RunDirectory]:
        """Every run in the trusted folders, in no order."""
        paths = dict.fromkeys(path for folder in self.folders for path in search(folder))
        return [RunDirectory(path) for path in paths]

    def run(self, written: str) -> RunDirectory:
        """The run that an agent names, by its folder or its name in the list. Raises TricksterError."""
        named = [run for run in self.runs() if run.id == written]
        if len(named) > 1:
            places = ", ".join(str(run.path) for run in named)
            raise TricksterError("run-ambiguous", f"{written} is the name of {len(named)} runs: {places}.", "Name one.")
        path = named[0].path if named else self.place(written)
        if not is_run_directory(path):
            raise TricksterError("not-a-run", f"{path} is not a run directory.", "list_runs lists the runs.")
        run = RunDirectory(path)
        run.refuse_links()
        self.require(run.checkpoints_folder(), "The run's checkpoint_dir is")
        return run

    def measured_run(self, written: str) -> RunDirectory:
        """A run whose text is read again to measure it: that too must be trusted. Raises TricksterError."""
        run = self.run(written)
        text, (_, identity) = run.config_text(), run.begun()
        self.checked(text, run.origin(identity).parent)
        return run


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise TricksterError("untrusted-folder", f"{path} leads nowhere.", "Name another path.") from error


def _places_in(text: str) -> Iterator[tuple[str, str]]:
    """Each place on this machine that a config names, and the key that does."""
    for name, given in settings_of(text).given.items():
        key = KEYS[name]
        if key.type not in PLACE_TYPES or not given.valid:
            continue
        values = given.value if isinstance(given.value, tuple) else (given.value,)
        for value in values:
            written = value.path if isinstance(value, CorpusSource) else value
            if isinstance(written, str) and written not in key.named_values:
                yield name, written
