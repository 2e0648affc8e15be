"""One run on disk: what is where, what it is, and how a new one is made."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.files import path_meant, read_json, read_text, write_json_atomically
from trickster_engine.processes import ProcessIdentity, is_locked
from trickster_engine.runs.lock import LOCK_FILE, read_lock_holder
from trickster_engine.runs.state import RunSummary, summarize

EVENTS_FILE = "events.jsonl"
IDENTITY_FILE = "run.json"
CONFIG_FILE = "config.yaml"
STOP_FILE = "stop"
REPORT_FILE = "report.html"
_RUN_NAME = re.compile(r"(?P<name>.+)-(?P<number>\d{3,})")


@dataclass(frozen=True)
class RunIdentity:
    """`run.json`: what was trained, where and on what. Written once."""

    id: str
    config_path: str
    created: float
    host: str
    pid: int
    pid_started: float
    backend: str
    device: str
    precision: str
    versions: dict[str, str]
    data: dict[str, Any]
    parameters: int
    baselines: dict[str, float]
    #: Random, from the run's birth: tells it from another run that takes its name. Empty in runs of before 0.2.
    uid: str = ""


class RunDirectory:
    """One run on disk, as seen by anyone who wants to read, follow or stop it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """The directory's name, unique below its output folder."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """`events.jsonl`."""
        return self.path / EVENTS_FILE

    @property
    def config_path(self) -> Path:
        """The exact text trained."""
        return self.path / CONFIG_FILE

    def identity(self) -> RunIdentity | None:
        """`run.json`, or None before training began."""
        try:
            return RunIdentity(**read_json(self.path / IDENTITY_FILE))
        except (OSError, ValueError, TypeError):
            return None

    def identity_if_readable(self) -> RunIdentity | None:
        """`run.json`, or None where nothing can be said: for lists and views."""
        try:
            return self.identity()
        except TricksterError:
            return None

    def write_identity(self, identity: RunIdentity) -> None:
        """Write `run.json`. A resumed run keeps the one it has."""
        if not (self.path / IDENTITY_FILE).exists():
            write_json_atomically(self.path / IDENTITY_FILE, asdict(identity))

    def plan(self) -> Plan | None:
        """The config that is trained, or None where it cannot be read."""
        try:
            return check(read_text(self.config_path)).plan
        except (OSError, ValueError):
            return None

    def checkpoints_folder(self) -> Path:
        """Where the checkpoints are: below the run, unless its config says otherwise."""
        plan, identity = self.plan(), self.identity()
        if plan is None or identity is None:
            return self.path / "checkpoints"
        return self.checkpoints_meant(plan, Path(identity.config_path).parent)

    def checkpoints_meant(self, plan: Plan, folder: Path) -> Path:
        """The same by a plan whose relative paths are relative to `folder`, for a run that has yet to begin."""
        if plan.output.checkpoint_dir is None:
            return self.path / "checkpoints"
        return path_meant(folder, plan.output.checkpoint_dir) / self.id

    def trainer(self) -> ProcessIdentity | None:
        """The process that trains or last trained this run."""
        return read_lock_holder(self.path / LOCK_FILE)

    def is_live(self) -> bool:
        """Whether a trainer holds the run right now."""
        try:
            with (self.path / LOCK_FILE).open("r+", encoding="utf-8") as file:
                return is_locked(file)
        except OSError:
            return False

    def request_stop(self) -> None:
        """Ask the trainer to save and stop within one step."""
        (self.path / STOP_FILE).write_text(f"{time.time()}\n", encoding="utf-8")

    def stop_requested(self) -> bool:
        """Whether somebody asked the trainer to stop."""
        return (self.path / STOP_FILE).exists()

    def clear_stop_request(self) -> None:
        """Forget an earlier request, before training goes on."""
        (self.path / STOP_FILE).unlink(missing_ok=True)

    def summary(self) -> RunSummary:
        """What the run has come to, read from its events."""
        return summarize(self)


def is_run_directory(path: Path) -> bool:
    """Whether a folder holds a run. One that may not be looked into holds none."""
    # Not Path.is_file, which before Python 3.14 raises where a folder cannot be entered.
    return os.path.isfile(path / EVENTS_FILE) and os.path.isfile(path / CONFIG_FILE)  # noqa: PTH113


def find_runs(output_dir: Path) -> Iterator[RunDirectory]:
    """The runs directly below a folder, in the order of their names."""
    try:
        children = sorted(output_dir.iterdir())
    except OSError:
        return
    for child in children:
        if is_run_directory(child):
            yield RunDirectory(child)


def config_name(config_path: Path) -> str:
    """`nano.trickster.yaml` -> `nano`: the first half of a run's name."""
    name = config_path.name
    for suffix in (".yaml", ".yml", ".trickster"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"


def create_run(output_dir: Path, name: str) -> RunDirectory:
    """Make the next free `<name>-<NNN>` below `output_dir`.

    Raises TricksterError: output-not-writable; inside-a-run, where a run would be lost, or deleted together with the
    one that it lies in.
    """
    around = next((folder for folder in (output_dir, *output_dir.parents) if is_run_directory(folder)), None)
    if around is not None:
        raise TricksterError(
            "inside-a-run",
            f"This run would be written inside another one, {around}, whose copy of its config this is.",
            "Train the config that the copy was made from, or copy it out of there first.",
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        numbers = [
            int(match["number"])
            for child in output_dir.iterdir()
            if (match := _RUN_NAME.fullmatch(child.name)) and match["name"] == name
        ]
        number = max(numbers, default=0) + 1
        while True:
            path = output_dir / f"{name}-{number:03d}"
            try:
                path.mkdir()
                return RunDirectory(path)
            except FileExistsError:
                number += 1
    except OSError as error:
        raise TricksterError(
            "output-not-writable",
            f"Cannot write runs into {output_dir}: {error.strerror or error}.",
            "Choose another folder with output_config.output_dir, or mend its permissions.",
        ) from error
