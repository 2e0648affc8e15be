"""From a checked config to a finished run: directory, data, device, loop, and an orderly end whatever happens."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from trickster_engine import __version__
from trickster_engine.backends.base import Backend
from trickster_engine.backends.select import chosen_device, open_backend, process_count
from trickster_engine.baselines import ngram_baselines
from trickster_engine.config import check, set_values
from trickster_engine.config.canonical import values_of
from trickster_engine.config.overrides import find_key
from trickster_engine.config.plan import Plan
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import TricksterError
from trickster_engine.estimates import count_parameters
from trickster_engine.files import (
    NotAPlainFileError,
    path_meant,
    read_text,
    sweep_temporaries,
    write_text_atomically,
)
from trickster_engine.processes import this_process
from trickster_engine.refusals import cannot_write, reason
from trickster_engine.runs import (
    LOSSES,
    RunDirectory,
    RunHold,
    RunIdentity,
    RunLock,
    config_name,
    config_unreadable,
    create_run,
    link_in_run,
    new_uid,
    pieces,
)
from trickster_engine.sampling import encode_prompt
from trickster_engine.training import guards
from trickster_engine.training.checkpoints import Checkpoint, CheckpointStore, TrainerState, step_of, write_final
from trickster_engine.training.loop import Trainer
from trickster_engine.training.outputs import open_recorder, require_outputs
from trickster_engine.training.recorder import Recorder, SilentRecorder, Watcher
from trickster_engine.training.speed_keeper import SpeedKeeper
from trickster_engine.training.stopping import StopSwitch, stopped_while_preparing
from trickster_engine.training.taken_away import RunTakenAwayError, Watch, saved_beside
from trickster_engine.training.team import ALONE, Team
from trickster_engine.training.tracking import make_tracker
from trickster_engine.training.trained_plan import fixed_for_the_run, require_unchanged, trained_values
from trickster_engine.training.unbegun import remove_unbegun

Outcome = Literal["finished", "stopped"]
#: What `resume` may be told to change. By hand, the place of the text may change too: its fingerprint is compared.
RESUMABLE_SECTIONS = ("training_config", "sampling_config", "device_config")


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
    overrides: dict[str, str] | None = None,
    watchers: Sequence[Watcher] = (),
    *,
    show_progress: bool = True,
) -> Outcome:
    """Go on with a run from its newest whole checkpoint. Raises TricksterError.

    `overrides` change the config for the rest of the run, for instance to train for more steps; the text trained so
    far is kept beside it.
    """
    for key in map(find_key, overrides or {}):
        if key.section not in RESUMABLE_SECTIONS:
            raise fixed_for_the_run(key.path)
    run.refuse_links()
    text = _read_config(run)
    changed = set_values(text, overrides) if overrides else text
    plan = _plan_of(run, changed)
    before = check(text).plan
    if before is not None:
        require_unchanged(values_of(before), plan, run.config_path)
    identity = run.identity()
    if identity is None:
        raise TricksterError(
            "nothing-to-resume", f"{run.path} never began to train.", "Start it anew with: trickster train"
        )
    session = Session(run, plan, Path(identity.config_path), watchers, show_progress, uid=identity.uid)
    with RunLock(run.path, uid=identity.uid):
        run.refuse_links()
        run.clear_stop_request()
        sweep_temporaries(run.path)
        if changed == text:
            return _train(session, resuming=True)
        newest = checkpoint_store(run, plan).newest_whole()
        step = step_of(newest.name) if newest else 0
        kept = run.path / f"config-until-step-{step}.yaml"
        if not kept.exists():
            write_config(run, text, kept)
        write_config(run, changed)
        try:
            return _train(session, resuming=True)
        except BaseException as error:
            lost = isinstance(error, TricksterError) and error.code in LOSSES
            if not lost and run.summary().step <= step:  # not one update was made with the changed text
                with contextlib.suppress(OSError):
                    write_text_atomically(run.config_path, text)
            raise


def session_of(run: RunDirectory, config_path: Path, *, overseen: bool) -> Session:
    """What one of several processes needs to train a run whose config is written. Raises TricksterError."""
    plan = _plan_of(run, _read_config(run))
    return Session(run, plan, config_path, show_progress=False, overseen=overseen, uid=run.uid())


def write_config(run: RunDirectory, text: str, path: Path | None = None) -> None:
    """Write the config of a run whose lock is held. Raises TricksterError."""
    path = path or run.config_path
    try:
        write_text_atomically(path, text)
    except OSError as error:
        raise cannot_write(error, path, "choose another folder with output_config.output_dir") from error


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


def train_here(session: Session, team: Team, *, resuming: bool) -> Outcome:
    """Train in this process, by itself or in a team. Raises TricksterError.

    `resuming` goes on from the newest whole checkpoint, if there is one.
    """
    run, plan = session.run, session.plan
    text = _read_config(run)
    if team.leads:
        require_outputs(session)
    tracker = make_tracker(plan) if team.leads else None
    watchers = [*session.watchers, SpeedKeeper(), *([tracker] if tracker else [])]
    recorder = open_recorder(session, watchers) if team.leads else SilentRecorder(run)
    hold = hold_of(session) if team.leads else None
    watch = Watch(hold, team)
    switch = StopSwitch(run, watch.lost_here)
    backend: Backend | None = None
    trainer: Trainer | None = None
    identity: RunIdentity | None = None
    step = 0
    try:
        switch.heed_hang_up()
        folder = run.checkpoints_meant(plan, session.folder)
        store = CheckpointStore(folder, run.path, plan.training.keep_best_n, team, session.uid)
        checkpoint = store.newest() if resuming else None
        step = checkpoint.state.step if checkpoint else 0
        if checkpoint is None:
            _require_no_checkpoints(session, store, resuming=resuming)
        else:
            require_unchanged(trained_values(checkpoint.path), plan, run.config_path)
        if not session.overseen:
            others = f", with {team.size - 1} others" if team.size > 1 else ""
            recorder.status("starting", step, f"process {this_process().pid}{others}")
            recorder.status("preparing", step)
        if resuming and (others_checkpoints := store.foreign()):
            recorder.warning(
                "checkpoints-of-another-run",
                f"{others_checkpoints[-1]} belongs to another run that was trained in this folder.",
                "It is left as it is, and this run does not go on from it.",
            )
        if checkpoint and store.steps()[-1] != checkpoint.path:
            recorder.warning(
                "checkpoint-damaged",
                f"The newest checkpoint, {store.steps()[-1]}, is damaged.",
                f"The run goes on from {checkpoint.path.name}.",
            )
        dataset = prepare_data(session, lambda message: recorder.status("preparing", step, message))
        if checkpoint and checkpoint.state.data_fingerprint != dataset.fingerprint:
            raise TricksterError(
                "data-changed",
                "The text has changed since this run began, so going on would not be the same training.",
                "Put the old text back, or start a new run.",
            )
        kind = chosen_device(plan)
        same_device = checkpoint is not None and checkpoint.state.device == kind
        backend = open_backend(
            plan,
            checkpoint.state.precision if checkpoint and same_device else None,
            checkpoint.state.compiled if checkpoint and same_device else None,
            lambda message: recorder.status("preparing", step, message),
            run.events_path,
            team,
        )
        state = TrainerState(0, dataset.fingerprint, kind, backend.precision, backend.compiled)
        if checkpoint:
            state = replace(checkpoint.state, device=kind, precision=backend.precision, compiled=backend.compiled)
            backend.load(checkpoint.weights, checkpoint.optimizer_state, checkpoint.random_state)
        watch.require()
        if team.leads:
            identity = _identity(session, dataset, backend)
            run.write_identity(identity)
            recorder.ready(plan, identity)
            if checkpoint:
                _finish_save(run, store, recorder, checkpoint)
        for notice in backend.notices():
            recorder.warning(*notice)
        if team.leads or os.environ.get("LOCAL_RANK") == "0":  # once on each machine, which has a cache of its own
            dataset.verification.begin()
        switch.arm()
        stop_requested = (lambda: team.any(switch.requested())) if team.size > 1 else switch.requested
        begun_from = checkpoint.path if checkpoint else None
        trainer = Trainer(plan, dataset, backend, store, recorder, stop_requested, state, watch, step, begun_from)
        outcome = trainer.train()
        step = trainer.state.step
        if outcome == "finished":
            write_final(run.path, session.uid, step, plan, backend.weights(), dataset.tokenizer, team)
        watch.require()
        recorder.status(outcome, step)
        return outcome
    except Exception as error:
        if isinstance(error, RunTakenAwayError):
            step, save = (trainer.state.step, trainer.save_into) if trainer else (step, None)
            error = saved_beside(session, hold, team, text, identity, save, step)
        explained = team.explain(error) or guards.explain(error, plan, run)
        if not session.overseen:
            record_failure(recorder, error, explained, trainer.state.step if trainer else step)
        raise (explained or error) from error
    finally:
        switch.disarm()
        if backend is not None:
            backend.close()
        recorder.close()
        if tracker is not None:
            with contextlib.suppress(Exception):  # its files are a convenience; how the run ended is not
                tracker.close()
        if hold is not None:
            if hold.loss() is None:
                run.forget_stop_request()
            hold.close()


def hold_of(session: Session) -> RunHold:
    """An eye on the directory and the lock of a run that is locked for this session. Raises TricksterError."""
    path = session.run.path
    try:
        hold = RunHold(path)
        hold.watch_lock()
    except OSError as error:
        raise cannot_write(error, f"into {path}", "leave the folder of a run alone while it trains") from error
    return hold


def _require_no_checkpoints(session: Session, store: CheckpointStore, *, resuming: bool) -> None:
    """Training begins with random weights: say so where somebody would expect it to go on, or checkpoints be lost."""
    if not resuming:
        if not store.steps() and not store.foreign():
            return
        raise TricksterError(
            "checkpoints-of-another-run",
            f"{store.folder} holds the checkpoints of an earlier run of this name.",
            "Move them away or delete them, or choose another folder with output_config.checkpoint_dir.",
        )
    if store.steps() or _has_saved(session.run):
        raise TricksterError(
            "no-whole-checkpoint",
            f"No whole checkpoint of {session.run.id} is in {store.folder}, though it has saved some.",
            "Put them back, or start a new run; going on from here would begin again with random weights.",
        )


def _finish_save(run: RunDirectory, store: CheckpointStore, recorder: Recorder, checkpoint: Checkpoint) -> None:
    """What a trainer does once its checkpoint is whole, and had no time for if it was killed just then."""
    state, path = checkpoint.state, checkpoint.path
    store.finish(state, path)
    saved = [event for piece in pieces(run.events_path) for event in piece.events if event["kind"] == "checkpoint"][-1:]
    told = (saved[0]["step"], saved[0]["val_loss"]) if saved else (-1, None)
    val_loss = state.val_loss if state.last_eval_step == state.step else None
    if told[0] < state.step or (told[0] == state.step and told[1] != val_loss):
        best = min(state.best_val_losses, key=lambda name: state.best_val_losses[name], default=None)
        recorder.checkpoint(state.step, path, val_loss, path.name == best)


def _has_saved(run: RunDirectory) -> bool:
    return any(event["kind"] == "checkpoint" for piece in pieces(run.events_path) for event in piece.events)


def prepare_data(session: Session, report: Callable[[str], None] | None = None) -> Dataset:
    """The tokens to train on, and whether the prompt can be written in them. Raises TricksterError.

    `report` is told how far it is, every few seconds, where that takes long.
    """
    dataset = prepare(
        session.plan,
        session.folder,
        progress=session.show_progress,
        interrupt=_until_stopped(session.run),
        report=report,
        verify=False,
    )
    encode_prompt(dataset.tokenizer, session.plan.sampling.prompt)  # now, rather than at the first evaluation
    return dataset


def _until_stopped(run: RunDirectory) -> Callable[[], None]:
    """Preparing gigabytes takes minutes; a request to stop ends it, and nothing needs saving yet."""

    def check_for_stop() -> None:
        if run.stop_requested():
            raise stopped_while_preparing()

    return check_for_stop


def record_failure(recorder: Recorder, error: Exception, explained: TricksterError | None, step: int) -> None:
    """Leave the reason in the run. On a full disk even that may not be possible, and the run still ends."""
    try:
        if explained is None:
            recorder.exception(error)
            explained = TricksterError(
                "unexpected", f"{type(error).__name__}: {error}", "log.txt in the run directory has the details."
            )
        recorder.error(explained)
        recorder.status("failed", step, explained.message)
    except OSError:
        pass


def _identity(session: Session, dataset: Dataset, backend: Backend) -> RunIdentity:
    process = this_process()
    return RunIdentity(
        id=session.run.id,
        config_path=str(session.config_path),
        created=time.time(),
        host=platform.node(),
        pid=process.pid,
        pid_started=process.started,
        backend=backend.name,
        device=backend.device,
        precision=backend.precision,
        versions={"trickster": __version__, **backend.versions},
        data={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "train_tokens": len(dataset.train),
            "val_tokens": len(dataset.val),
            "train_characters": dataset.train_characters,
            "val_characters": dataset.val_characters,
        },
        parameters=count_parameters(session.plan.model).total,
        baselines={
            baseline.name: baseline.nats for baseline in ngram_baselines(dataset, session.plan.model.vocab_size)
        },
        uid=session.uid,
    )


def _new_run(config_path: Path, plan: Plan, run_path: Path | None) -> RunDirectory:
    if run_path is None:
        folder = config_path.resolve().parent
        return create_run(path_meant(folder, plan.output.output_dir), config_name(config_path))
    try:
        run_path.mkdir(parents=True)
    except OSError as error:
        raise TricksterError(
            "output-not-writable", f"Cannot make {run_path}: {reason(error)}.", "Name a folder that does not exist yet."
        ) from error
    return RunDirectory(run_path.resolve())


def _plan_of(run: RunDirectory, text: str) -> Plan:
    result = check(text)
    if result.plan is None:
        first = next(problem for problem in result.problems if problem.severity == "error")
        raise TricksterError(first.code, f"{run.config_path}: {first.message}", "Mend the value and resume again.")
    return result.plan


def _read_config(run: RunDirectory) -> str:
    try:
        return read_text(run.config_path)
    except FileNotFoundError as error:
        raise TricksterError(
            "not-a-run", f"{run.path} is not a run directory: it has no config.yaml.", "List runs with: trickster runs"
        ) from error
    except NotAPlainFileError as error:
        raise link_in_run(run.config_path, error) from error
    except (OSError, UnicodeDecodeError) as error:
        raise config_unreadable(run.config_path, error) from error
