"""From a checked config to a finished run: directory, data, device, loop, and an orderly end whatever happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trickster_engine.backends.processes import ALONE
from trickster_engine.backends.select import process_count
from trickster_engine.config import check, set_values
from trickster_engine.config.overrides import find_key
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.runs import LOSSES, RunDirectory, RunIdentity, RunLock, config_name, create_run, new_uid
from trickster_engine.runs.event_types import WarningEvent
from trickster_engine.system.files import path_meant, sweep_temporaries, write_text_atomically
from trickster_engine.system.os_errors import reason
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.one_process import train_here
from trickster_engine.training.recorder import Watcher
from trickster_engine.training.resuming import (
    LearningRate,
    Made,
    Note,
    changed_config,
    edited_beside,
    made_so_far,
    nothing_left,
)
from trickster_engine.training.run_config import plan_of, read_config, write_config
from trickster_engine.training.unbegun import remove_unbegun

Outcome = Literal["finished", "stopped"]


@dataclass(frozen=True)
class Session:
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

    @property
    def folder(self) -> Path:
        """What relative paths in the config are relative to."""
        return self.config_path.parent

    @property
    def log_path(self) -> Path:
        """Where the log for people goes."""
        log_dir = self.plan.output.log_dir
        return (path_meant(self.folder, log_dir) / self.run.id if log_dir else self.run.path) / "log.txt"


def start(
    config_path: Path,
    text: str,
    plan: Plan,
    watchers: Sequence[Watcher] = (),
    *,
    run_path: Path | None = None,
    show_progress: bool = True,
) -> tuple[RunDirectory, Outcome]:
    """Train a config from random weights in a new run directory.

    A run that fails before its first update leaves no directory behind. Raises TricksterError.
    """
    run = _new_run(config_path, plan, run_path)
    made = run.path.stat()
    session = Session(run, plan, config_path.resolve(), watchers, show_progress, uid=new_uid())
    try:
        with RunLock(run.path, uid=session.uid):
            write_config(run, text)
            return run, _train(session, resuming=False)
    except BaseException:
        remove_unbegun(run, made)
        raise


def resume(
    run: RunDirectory,
    overrides: Mapping[str, str] | None = None,
    watchers: Sequence[Watcher] = (),
    *,
    learning_rate: LearningRate | None = None,
    show_progress: bool = True,
) -> Outcome | Literal["nothing to do"]:
    """Go on with a run from its newest whole checkpoint. Raises TricksterError.

    `overrides` change the config for the rest of the run, for instance to train for more steps; the text trained so
    far is kept beside it. `learning_rate` says how its curve goes on. What cannot be done is refused, and then nothing
    is changed. Where a finished run has nothing left to do, the watchers are told so.
    """
    overrides = overrides or {}
    for name in overrides:
        find_key(name)
    run.refuse_links()
    text = read_config(run)
    identity = run.identity()
    if identity is None:
        raise TricksterError(
            "nothing-to-resume", f"{run.path} never started to train.", "Start a new run with: trickster train"
        )
    origin = run.origin(identity)
    with RunLock(run.path, uid=identity.uid):
        run.refuse_links()
        run.clear_stop_request()
        sweep_temporaries(run.path)
        made = _made(run, text, overrides, identity)
        going_on = changed_config(run, text, overrides, made, learning_rate)
        edited = edited_beside(run, origin, identity.created, going_on.plan)
        left = nothing_left(run, text, going_on, made) if made else None
        if left is not None:
            _tell(watchers, [left, *([edited] if edited else [])])
            return "nothing to do"
        notes = [*going_on.notes, *([edited] if edited else [])]
        session = Session(run, going_on.plan, origin, watchers, show_progress, uid=identity.uid, notes=notes)
        if going_on.text == text:
            return _train(session, resuming=True)
        step = made.step if made else 0
        kept = run.path / f"config-until-step-{step}.yaml"
        if not kept.exists():
            write_config(run, text, kept)
        write_config(run, going_on.text)
        try:
            return _train(session, resuming=True)
        except BaseException as error:
            lost = isinstance(error, TricksterError) and error.code in LOSSES
            if not lost and run.summary().step <= step:  # not one update was made with the changed text
                with contextlib.suppress(OSError):
                    write_text_atomically(run.config_path, text)
            raise


def _made(run: RunDirectory, text: str, overrides: Mapping[str, str], identity: RunIdentity) -> Made | None:
    """What the run has come to, by its newest whole checkpoint, which may be looked for in another folder now."""
    places = {name: value for name, value in overrides.items() if find_key(name).section == "output_config"}
    plan = check(set_values(text, places)).plan
    folder = run.checkpoints_meant(plan, run.origin(identity).parent) if plan else run.checkpoints_folder()
    newest = CheckpointStore(folder, run.path, 2, run_uid=identity.uid).newest_whole()
    return made_so_far(newest, plan) if newest else None


def _tell(watchers: Sequence[Watcher], notes: Sequence[Note]) -> None:
    for code, message, advice in notes:
        event = WarningEvent(t=time.time(), kind="warning", code=code, message=message, advice=advice)
        for watcher in watchers:
            with contextlib.suppress(OSError):
                watcher.event(event)


def session_of(run: RunDirectory, config_path: Path, *, overseen: bool) -> Session:
    """What one of several processes needs to train a run whose config is written. Raises TricksterError."""
    plan = plan_of(run, read_config(run))
    return Session(run, plan, config_path, show_progress=False, overseen=overseen, uid=run.uid())


def checkpoint_store(run: RunDirectory, plan: Plan) -> CheckpointStore:
    """The checkpoints of a run that has begun."""
    identity = run.identity()
    uid = identity.uid if identity else ""
    return CheckpointStore(run.checkpoints_folder(), run.path, plan.training.keep_best_n, run_uid=uid)


def _train(session: Session, *, resuming: bool) -> Outcome:
    """Train in as many processes as the plan asks for. The run is locked by the caller."""
    processes = process_count(session.plan)
    if processes == 1:
        return train_here(session, ALONE, resuming=resuming)
    from trickster_engine.training.torchrun import train_in_processes

    return train_in_processes(session, processes)


def _new_run(config_path: Path, plan: Plan, run_path: Path | None) -> RunDirectory:
    if run_path is None:
        folder = config_path.resolve().parent
        return create_run(path_meant(folder, plan.output.output_dir), config_name(config_path))
    try:
        run_path.mkdir(parents=True)
    except OSError as error:
        raise TricksterError(
            "output-not-writable",
            f"Cannot make {run_path}: {reason(error)}.",
            "Choose a folder that does not exist yet.",
        ) from error
    return RunDirectory(run_path.resolve())
