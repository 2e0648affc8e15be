"""Run directories: the only truth about a run. No torch here, so that the language server can read them.

Layout (see also `training/checkpoints.py`):

    <output_dir>/<config name>-<NNN>/
        config.yaml     the exact text trained
        run.json        identity, written once when training is about to begin
        events.jsonl    append-only, one event a line
        lock            held by the trainer for as long as it lives; names its process
        stop            exists while somebody asks the trainer to stop
        checkpoints/    final/    best.json    latest.json    samples.md    log.txt
        report.html     what it learned, made when asked for
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.events import FINAL_STATUSES, Event
from trickster_engine.files import in_command, path_meant, write_json_atomically
from trickster_engine.processes import ProcessIdentity, is_locked, lock_file, this_process, unlock_file

EVENTS_FILE = "events.jsonl"
IDENTITY_FILE = "run.json"
CONFIG_FILE = "config.yaml"
LOCK_FILE = "lock"
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


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows. `status` is an event status, or `interrupted` when the trainer is gone."""

    id: str
    path: Path
    config_path: str | None
    status: str
    live: bool
    step: int
    max_step: int | None
    train_loss: float | None
    val_loss: float | None
    best_val_loss: float | None
    eta_s: float | None
    created: float
    updated: float


class EventLog:
    """Appends events to `events.jsonl`, one whole line a write."""

    def __init__(self, path: Path) -> None:
        drop_torn_line(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: Event) -> None:
        """Append one event. Raises OSError (for instance a full disk)."""
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        data = line.encode("utf-8", "replace")
        written = os.write(self._file, data)
        if written != len(data):
            raise OSError(28, "No space left on device")

    def close(self) -> None:
        """Close the file; the log cannot be written to afterwards."""
        os.close(self._file)


def drop_torn_line(path: Path) -> None:
    """Cut off a last line without a newline, left by a process that was killed while it wrote."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position != end:
            file.truncate(position)


def read_events(path: Path, offset: int = 0, max_bytes: int | None = None) -> tuple[list[Event], int]:
    """Read the complete lines from byte `offset` on.

    Returns the events and the offset after the last complete line, from which a later call goes on. A line still being
    written is left for that call; a line that is not JSON is passed over. A file that is not there, or that cannot be
    read now (no right to it, a disk that fails, a network share that is away), has nothing new.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read() if max_bytes is None else file.read(max_bytes)
            if max_bytes is not None and data and b"\n" not in data:
                data += file.readline()
    except OSError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    events: list[Event] = []
    for line in whole.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):  # thousands of brackets in one line are no event either
            continue
        if isinstance(event, dict) and "kind" in event:
            events.append(cast(Event, event))
    return events, offset + len(whole)


class RunLock:
    """The trainer's hold on its run directory: an operating-system lock that ends with the process, however it ends."""

    def __init__(self, run_path: Path, patience_s: float = 0.2) -> None:
        """`patience_s`: how long to wait for it. A reader's `is_live` holds it for the blink of an eye."""
        self._path = run_path / LOCK_FILE
        self._patience_s = patience_s
        self._file: TextIO | None = None

    def __enter__(self) -> RunLock:
        file = self._path.open("a+", encoding="utf-8")
        if not _lock_patiently(file, self._patience_s):
            holder = read_lock_holder(self._path)
            file.close()
            who = f"process {holder.pid} on {holder.host}" if holder else "another process"
            raise TricksterError(
                "run-locked",
                f"{self._path.parent} is being trained by {who}.",
                f"Wait for it, or stop it with: trickster stop {in_command(self._path.parent)}",
            )
        file.seek(0)
        file.truncate()
        json.dump(asdict(this_process()), file)
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            unlock_file(self._file)
            self._file.close()
            self._file = None


def _lock_patiently(file: TextIO, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not lock_file(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def read_lock_holder(path: Path) -> ProcessIdentity | None:
    """The process a lock file names, or None where the file is missing or empty."""
    try:
        return ProcessIdentity(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


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
            return RunIdentity(**json.loads((self.path / IDENTITY_FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write_identity(self, identity: RunIdentity) -> None:
        """Write `run.json`. A resumed run keeps the one it has."""
        if not (self.path / IDENTITY_FILE).exists():
            write_json_atomically(self.path / IDENTITY_FILE, asdict(identity))

    def plan(self) -> Plan | None:
        """The config that is trained, or None where it cannot be read."""
        try:
            return check(self.config_path.read_text(encoding="utf-8")).plan
        except (OSError, UnicodeDecodeError):
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
        events, _ = read_events(self.events_path)
        return summarize(self, events)


def summarize(run: RunDirectory, events: list[Event]) -> RunSummary:
    """Fold a run's events into one line of a list."""
    status, step, created, updated = "starting", 0, 0.0, 0.0
    train_loss = val_loss = best = eta_s = None
    for event in events:
        updated = event["t"]
        created = created or updated
        if event["kind"] == "status":
            status, step = event["status"], event["step"]
        elif event["kind"] == "step":
            step, train_loss, eta_s = event["step"], event["loss"], event["eta_s"]
        elif event["kind"] == "eval":
            val_loss = event["val_loss"]
            best = val_loss if best is None else min(best, val_loss)
    plan = run.plan()
    live = run.is_live()
    if not live and status not in FINAL_STATUSES:
        status = "interrupted"
    identity = run.identity()
    return RunSummary(
        id=run.id,
        path=run.path,
        config_path=identity.config_path if identity else None,
        status=status,
        live=live,
        step=step,
        max_step=plan.training.max_steps if plan else None,
        train_loss=train_loss,
        val_loss=val_loss,
        best_val_loss=best,
        eta_s=eta_s if live else None,
        created=created,
        updated=updated,
    )


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
