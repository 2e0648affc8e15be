"""One run on disk: what is where, and what it is."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trickster_engine.config import check
from trickster_engine.config.corpus_files import BUILT_IN_CORPORA
from trickster_engine.config.list_values import MOST_TEACHERS
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.runs.hold import EVENTS_FILE, LOCK_FILE
from trickster_engine.runs.lock import Liveness, another_users, link_in_run, liveness, read_lock_holder, read_lock_uid
from trickster_engine.runs.origin import config_origin
from trickster_engine.runs.planned import CONFIG_LIMIT
from trickster_engine.runs.state import RunSummary, summarize
from trickster_engine.system.files import (
    NotAPlainFileError,
    create_file,
    path_meant,
    read_json,
    read_text,
    require_plain,
    write_json_atomically,
)
from trickster_engine.system.json_checksum import require_fields_unchanged, seal_fields
from trickster_engine.system.json_dataclass import from_stored
from trickster_engine.system.os_errors import cannot_write, reason, remedy
from trickster_engine.system.printable import printable_text
from trickster_engine.system.processes import ProcessIdentity
from trickster_engine.system.units import bits_per_byte

IDENTITY_FILE = "run.json"
CONFIG_FILE = "config.yaml"
STOP_FILE = "stop"
REPORT_FILE = "report.html"
SAMPLES_FILE = "samples.md"
LOG_FILE = "log.txt"
#: What a trainer writes in a run's directory.
FILES = (
    LOCK_FILE, CONFIG_FILE, IDENTITY_FILE, EVENTS_FILE, SAMPLES_FILE, LOG_FILE, STOP_FILE, REPORT_FILE,
    "best.json", "latest.json",
)  # fmt: skip
INITIAL_FOLDER = "initial"
#: Where the models that teach a run are copied to, as many as there may be, in the order of the config.
TEACHER_FOLDERS = ("teacher", *(f"teacher-{number}" for number in range(2, MOST_TEACHERS + 1)))
FOLDERS = ("checkpoints", "final", INITIAL_FOLDER, *TEACHER_FOLDERS, "tensorboard", "wandb")
#: A folder with events and one of these holds a run.
_BESIDE_EVENTS = (CONFIG_FILE, IDENTITY_FILE)
_IDENTITY_BYTES = 1 << 20
_STOP_BYTES = 4096
_MOST_BYTES_PER_TOKEN = 1 << 20


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
    #: The way from the run's folder to its config, where a project was moved since. Empty in runs of before 0.3.
    config_from_run: str = ""
    #: Of a run that fine-tunes: how its config names the weights, where they were, and the SHA-256 of each file.
    initial: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes_per_token(self) -> float | None:
        """Of the validation text: what makes bits/byte of nats/token. None where that is not known.

        A run of before this was written down tells it where its text is ASCII: a character is a byte there.
        """
        known = self.data.get("bytes_per_token")
        if isinstance(known, float) and 0 < known < _MOST_BYTES_PER_TOKEN:
            return known
        characters, tokens = self.data.get("val_characters"), self.data.get("val_tokens")
        if self.data.get("name") != "shakespeare" or not isinstance(characters, int) or not isinstance(tokens, int):
            return None
        return characters / tokens if 0 < characters < 1 << 63 > tokens > 0 else None

    def bits_per_byte(self, nats: float) -> float | None:
        """A loss in nats/token as bits a byte of text, where that is known."""
        return None if self.bytes_per_token is None else bits_per_byte(nats, self.bytes_per_token)

    @property
    def own_text(self) -> bool:
        """Whether it was trained on a text of the person's own, and on no built-in corpus."""
        name = self.data.get("name")
        return isinstance(name, str) and name not in BUILT_IN_CORPORA


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
        """`run.json`, or None where there is none: before training began.

        Raises TricksterError: run-unreadable where it is there and cannot be read, run-not-ours where it is something
        else than what we write.
        """
        path = self.path / IDENTITY_FILE
        try:
            stored = read_json(path, _IDENTITY_BYTES)
            require_fields_unchanged(stored)
            return from_stored(RunIdentity, stored)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except NotAPlainFileError as error:
            raise link_in_run(path, error) from error
        except OSError as error:
            raise TricksterError(
                "run-unreadable",
                f"{path} is there, and cannot be read: {reason(error)}.",
                remedy(error, "try again later") + ". The run and its checkpoints are left as they are.",
            ) from error
        except ValueError as error:
            raise TricksterError(
                "run-not-ours",
                f"{path} is not what Trickster writes: {error}.",
                "Put a copy of it back if there is one. The run and its checkpoints are left as they are; "
                "each checkpoint can be sampled by its own folder.",
            ) from error

    def identity_if_readable(self) -> RunIdentity | None:
        """`run.json`, or None where nothing can be said: for lists and views."""
        try:
            return self.identity()
        except TricksterError:
            return None

    def uid(self) -> str:
        """The run's random id, from `run.json` or, before training began, from its lock. Raises as `identity` does."""
        identity = self.identity()
        return read_lock_uid(self.path / LOCK_FILE) if identity is None else identity.uid

    def origin(self, identity: RunIdentity) -> Path:
        """The config that the run was made from, where it lies by now; it may be gone, and its folder is not."""

        def output_dir() -> str | None:
            plan = self.plan_if_readable()
            return plan.output.output_dir if plan else None

        return config_origin(self.path, identity.config_path, identity.config_from_run, output_dir)

    def write_identity(self, identity: RunIdentity) -> None:
        """Write `run.json`. A resumed run keeps the one it has."""
        if not os.path.lexists(self.path / IDENTITY_FILE):
            write_json_atomically(self.path / IDENTITY_FILE, seal_fields(asdict(identity)))

    def config_text(self) -> str:
        """The exact text that is trained.

        Raises TricksterError: not-a-run where there is none, link-in-run for anything but a file, config-unreadable.
        """
        path = self.config_path
        try:
            return read_text(path, CONFIG_LIMIT)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise TricksterError(
                "not-a-run",
                f"{self.path} is not a run directory: it has no config.yaml.",
                "List runs with: trickster runs",
            ) from error
        except NotAPlainFileError as error:
            raise link_in_run(path, error) from error
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else "it is not text in UTF-8"
            raise TricksterError(
                "config-unreadable",
                f"{path}, the config of this run, cannot be read: {why}.",
                "Fix that first: without it, the settings of the run are unknown.",
            ) from error

    def plan_in(self, text: str) -> Plan:
        """The plan in a text of this run. Raises TricksterError with the first thing that is wrong with it."""
        result = check(text)
        if result.plan is None:
            first = next((problem for problem in result.problems if problem.severity == "error"), None)
            if first is None:  # what was written down when the run began was removed
                raise TricksterError(
                    "config-unreadable",
                    f"{self.config_path} leaves out keys of model_config that init_from had decided.",
                    "Restore them: config.json in the run's initial/ has their values.",
                )
            raise TricksterError(first.code, f"{self.config_path}: {first.message}", "Fix the value, then try again.")
        return result.plan

    def plan(self) -> Plan:
        """The config that is trained. Raises TricksterError as `config_text` and `plan_in` do."""
        return self.plan_in(self.config_text())

    def plan_if_readable(self) -> Plan | None:
        """The same, or None where nothing can be said: for lists and views."""
        try:
            return self.plan()
        except TricksterError:
            return None

    def begun(self) -> tuple[Plan, RunIdentity]:
        """What a run that has begun to train is. Raises TricksterError as `plan` and `identity` do."""
        identity = self.identity()
        if identity is None:
            raise TricksterError(
                "not-a-run", f"{self.path} is not a run that has started.", "List runs with: trickster runs"
            )
        return self.plan(), identity

    def checkpoints_folder(self) -> Path:
        """Where the checkpoints are: below the run, unless its config says otherwise."""
        written = _checkpoint_dir(self.path, _version(self.config_path))
        identity = self.identity_if_readable() if written is not None else None
        if written is None or identity is None:
            return self.path / "checkpoints"
        return self._checkpoints_at(written, self.origin(identity).parent)

    def checkpoints_meant(self, plan: Plan, folder: Path) -> Path:
        """The same by a plan whose relative paths are relative to `folder`, for a run that has yet to begin."""
        return self._checkpoints_at(plan.output.checkpoint_dir, folder)

    def _checkpoints_at(self, written: str | None, folder: Path) -> Path:
        return self.path / "checkpoints" if written is None else path_meant(folder, written) / self.id

    def trainer(self) -> ProcessIdentity | None:
        """The process that trains or last trained this run."""
        return read_lock_holder(self.path / LOCK_FILE)

    def liveness(self) -> Liveness:
        """Whether a trainer holds the run right now, or that nobody here can tell."""
        return liveness(self.path)

    def is_live(self) -> bool:
        """Whether a trainer holds the run right now, or may hold it: its lock is there and must not be looked at."""
        return liveness(self.path) != "idle"

    def request_stop(self, origin: str = "") -> None:
        """Ask the trainer to save and stop within one step. Raises TricksterError where that cannot be asked.

        `origin` names the agent that asks, for the run's events; nothing where a person does.
        """
        path = self.path / STOP_FILE
        try:
            with create_file(path) as file:
                file.write(f"{time.time()}\n{origin}\n".encode())
        except FileExistsError:
            pass  # asked already
        except PermissionError as error:
            raise another_users(self.path, error) from error
        except OSError as error:
            if os.path.lexists(path):  # made, and no room for what is in it: it is there, and that is what counts
                return
            raise cannot_write(error, path, "press Ctrl-C where it trains") from error

    def stop_requested(self) -> bool:
        """Whether somebody asked the trainer to stop, whatever lies there."""
        return os.path.lexists(self.path / STOP_FILE)

    def stop_origin(self) -> str:
        """The agent that asked the trainer to stop; empty for a person, and where the request cannot be read."""
        try:
            lines = read_text(self.path / STOP_FILE, _STOP_BYTES).splitlines()
        except (OSError, ValueError):
            return ""
        return printable_text(lines[1]) if len(lines) > 1 else ""

    def clear_stop_request(self) -> None:
        """Forget an earlier request, before training goes on. Raises TricksterError for anything but a plain file."""
        path = self.path / STOP_FILE
        try:
            require_plain(path)
            path.unlink()
        except FileNotFoundError:
            pass
        except NotAPlainFileError as error:
            raise link_in_run(path, error) from error

    def forget_stop_request(self) -> None:
        """The same where training ends, whatever lies there: nothing may hide how it has ended."""
        with contextlib.suppress(OSError, TricksterError):
            self.clear_stop_request()

    def refuse_links(self) -> None:
        """Raise TricksterError where something else lies at a name that a trainer writes: a link, a FIFO, a device."""
        for name in FILES:
            try:
                require_plain(self.path / name)
            except FileNotFoundError:
                continue
            except NotAPlainFileError as error:
                raise link_in_run(self.path / name, error) from error
        for name in FOLDERS:
            path = self.path / name
            if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
                kind = "link" if path.is_symlink() else "file"
                raise link_in_run(path, NotAPlainFileError(path, kind))

    def summary(self) -> RunSummary:
        """What the run has come to, read from its events."""
        return summarize(self)


def is_run_directory(path: Path) -> bool:
    """Whether a folder holds a run, also one whose files were replaced. One that may not be looked into holds none."""
    return os.path.lexists(path / EVENTS_FILE) and any(os.path.lexists(path / name) for name in _BESIDE_EVENTS)


def find_runs(output_dir: Path) -> Iterator[RunDirectory]:
    """The runs directly below a folder, in the order of their names."""
    try:
        children = sorted(output_dir.iterdir())
    except OSError:
        return
    for child in children:
        if is_run_directory(child):
            yield RunDirectory(child)


@functools.lru_cache(maxsize=64)
def _checkpoint_dir(run: Path, version: object) -> str | None:
    """What a run's config says, read once for each version of it: a completion asks at every key."""
    plan = RunDirectory(run).plan_if_readable()
    return plan.output.checkpoint_dir if plan is not None else None


def _version(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written, or None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
