"""From a checked config to a finished run: directory, data, device, loop, and an orderly end whatever happens."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from trickster_engine.backends.process_group import SINGLE_PROCESS
from trickster_engine.backends.select import process_count
from trickster_engine.config import check, set_values
from trickster_engine.config.overrides import find_key
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import model_named
from trickster_engine.runs import (
    CONFIG_FILE,
    EVENTS_FILE,
    IDENTITY_FILE,
    LOCK_FILE,
    LOG_FILE,
    LOSSES,
    SAMPLES_FILE,
    STOP_FILE,
    RunDirectory,
    RunIdentity,
    RunLock,
    config_name,
    create_run,
    new_uid,
)
from trickster_engine.runs.directory import INITIAL_FOLDER, TEACHER_FOLDERS
from trickster_engine.runs.event_types import WarningEvent
from trickster_engine.runs.initial import copy_initial, written_out
from trickster_engine.runs.teacher import copy_teachers
from trickster_engine.system.files import path_meant, sweep_temporaries, write_text_atomically
from trickster_engine.system.os_errors import reason
from trickster_engine.system.replace_folder import discard
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.context import Note, Outcome, TrainingContext, write_config
from trickster_engine.training.process import train_here
from trickster_engine.training.recorder import Watcher
from trickster_engine.training.resuming import (
    LearningRate,
    Progress,
    changed_config,
    edited_beside,
    nothing_left,
    progress_of,
)

#: What a trainer makes in a run's folder before it begins.
_MADE = (CONFIG_FILE, EVENTS_FILE, LOG_FILE, SAMPLES_FILE, STOP_FILE, LOCK_FILE)


def start(
    config_path: Path,
    text: str,
    plan: Plan,
    watchers: Sequence[Watcher] = (),
    *,
    run_path: Path | None = None,
    show_progress: bool = True,
    origin: str = "",
    fault: str = "",
) -> tuple[RunDirectory, Outcome]:
    """Train a config in a new run directory, from random weights or from those that `init_from` names.

    A run that fails before its first update leaves no directory behind. `origin` names the agent that asked for it, for
    the run's events; `fault` breaks the run on purpose (`training/faults.py`). Raises TricksterError.
    """
    run = _new_run(config_path, plan, run_path)
    made = run.path.stat()
    context = TrainingContext(
        run, plan, config_path.resolve(), watchers, show_progress, uid=new_uid(), origin=origin, fault=fault
    )
    try:
        with RunLock(run.path, uid=context.uid):
            write_config(run, written_out(text, plan))
            begin_from(run, plan, context.folder)
            return run, _train(context, resuming=False)
    except BaseException:
        _remove_unbegun(run, made)
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
    text = run.config_text()
    identity = run.identity()
    if identity is None:
        raise TricksterError(
            "nothing-to-resume", f"{run.path} never started to train.", "Start a new run with: trickster train"
        )
    if identity.data.get("fault"):
        raise TricksterError(
            "broken-on-purpose",
            f"{run.path} was broken on purpose, for the lesson, and is not resumed.",
            "Train your own config with: trickster train CONFIG",
        )
    origin = run.origin(identity)
    with RunLock(run.path, uid=identity.uid):
        run.refuse_links()
        run.clear_stop_request()
        sweep_temporaries(run.path)
        progress = _progress(run, text, overrides, identity)
        resumed = changed_config(run, text, overrides, progress, learning_rate)
        edited = edited_beside(run, origin, identity.created, resumed.plan)
        left = nothing_left(run, text, resumed, progress) if progress else None
        if left is not None:
            _tell(watchers, [left, *([edited] if edited else [])])
            return "nothing to do"
        notes = [*resumed.notes, *([edited] if edited else [])]
        context = TrainingContext(run, resumed.plan, origin, watchers, show_progress, uid=identity.uid, notes=notes)
        if resumed.text == text:
            return _train(context, resuming=True)
        step = progress.step if progress else 0
        kept = run.path / f"config-until-step-{step}.yaml"
        if not kept.exists():
            write_config(run, text, kept)
        write_config(run, resumed.text)
        try:
            return _train(context, resuming=True)
        except BaseException as error:
            lost = isinstance(error, TricksterError) and error.code in LOSSES
            if not lost and run.summary().step <= step:  # not one update was made with the changed text
                with contextlib.suppress(OSError):
                    write_text_atomically(run.config_path, text)
            raise


def _progress(run: RunDirectory, text: str, overrides: Mapping[str, str], identity: RunIdentity) -> Progress | None:
    """What the run has come to, by its newest whole checkpoint, which may be looked for in another folder now."""
    places = {name: value for name, value in overrides.items() if find_key(name).section == "output_config"}
    plan = check(set_values(text, places)).plan
    folder = run.checkpoints_meant(plan, run.origin(identity).parent) if plan else run.checkpoints_folder()
    newest = CheckpointStore(folder, run.path, 2, run_uid=identity.uid).newest_whole()
    return progress_of(newest, plan) if newest else None


def _tell(watchers: Sequence[Watcher], notes: Sequence[Note]) -> None:
    for code, message, advice in notes:
        event = WarningEvent(t=time.time(), kind="warning", code=code, message=message, advice=advice)
        for watcher in watchers:
            with contextlib.suppress(OSError):
                watcher.event(event)


def _train(context: TrainingContext, *, resuming: bool) -> Outcome:
    """Train in as many processes as the plan asks for. The run is locked by the caller."""
    processes = process_count(context.plan)
    if processes == 1:
        return train_here(context, SINGLE_PROCESS, resuming=resuming)
    if not torch.distributed.is_available():
        raise TricksterError(
            "several-processes-unavailable",
            "This build of PyTorch cannot train in several processes.",
            "Set device_config.enable_ddp: false and mesh_shape: [1, 1], or install another build.",
        )
    # Loaded here, because torch's own part of it writes to standard error on some systems.
    from trickster_engine.training.torchrun import train_in_processes

    return train_in_processes(context, processes)


def begin_from(run: RunDirectory, plan: Plan, folder: Path) -> None:
    """Copy the weights that a plan starts from and its teachers, of runs their best checkpoints, into a new run.

    `folder` is that of the config. Raises TricksterError.
    """
    if plan.model.init_from is not None:
        copy_initial(run, plan, model_named(plan.model.init_from, folder))
    copy_teachers(run, plan, [model_named(written, folder) for written in plan.training.teachers])


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


def _remove_unbegun(run: RunDirectory, made: os.stat_result) -> None:
    """Remove the folder `made` of a run that has not begun.

    Only the files that a trainer makes before it begins, by their names; the folder stays where anything else is in it,
    where there is a `run.json` in whatever state, and where another folder has taken its place.
    """
    try:
        if not os.path.samestat(run.path.stat(), made) or os.path.lexists(run.path / IDENTITY_FILE):
            return
        sweep_temporaries(run.path)
        copies = (INITIAL_FOLDER, *TEACHER_FOLDERS)
        if not {*_MADE, "checkpoints", *copies}.issuperset(path.name for path in run.path.iterdir()):
            return
        for name in copies:
            discard(run.path / name)
        if os.path.lexists(run.path / "checkpoints"):
            (run.path / "checkpoints").rmdir()  # raises where anything is in it
        for name in _MADE:
            with contextlib.suppress(FileNotFoundError):
                (run.path / name).unlink()
        run.path.rmdir()
    except OSError:
        return
