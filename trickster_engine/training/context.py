"""What a run is trained with: its directory, the exact text of its config and the plan that it means, its watchers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from trickster_engine.config.plan import Plan
from trickster_engine.runs import RunDirectory
from trickster_engine.system.files import path_meant, write_text_atomically
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.training.recorder import Watcher

Outcome = Literal["finished", "stopped"]


class Note(NamedTuple):
    """Something to say at the start, as a warning event says it."""

    code: str
    message: str
    advice: str


@dataclass(frozen=True)
class TrainingContext:
    """One call to train: what to train, where it is written, and who watches."""

    run: RunDirectory
    plan: Plan
    config_path: Path
    watchers: Sequence[Watcher] = ()
    show_progress: bool = True
    #: Whether the process that has started this one writes down how the run begins, and why it fails.
    overseen: bool = False
    #: The run's random id; empty in runs of before 0.2.
    uid: str = ""
    #: What the person is told before training goes on.
    notes: Sequence[Note] = ()
    #: The agent that had it started; empty where a person did.
    origin: str = ""
    #: What is wrong with this run on purpose (`training/faults.py`); empty in every run but those of the lesson.
    fault: str = ""

    @property
    def folder(self) -> Path:
        """What relative paths in the config are relative to."""
        return self.config_path.parent

    @property
    def log_path(self) -> Path:
        """Where the log for people goes."""
        log_dir = self.plan.output.log_dir
        return (path_meant(self.folder, log_dir) / self.run.id if log_dir else self.run.path) / "log.txt"


def context_of(run: RunDirectory, config_path: Path, *, overseen: bool) -> TrainingContext:
    """What one of several processes needs to train a run whose config is written. Raises TricksterError."""
    return TrainingContext(run, run.plan(), config_path, show_progress=False, overseen=overseen, uid=run.uid())


def write_config(run: RunDirectory, text: str, path: Path | None = None) -> None:
    """Write the config of a run whose lock is held. Raises TricksterError."""
    path = path or run.config_path
    try:
        write_text_atomically(path, text)
    except OSError as error:
        raise cannot_write(error, path, "choose another folder with output_config.output_dir") from error
