"""Training in this process, by itself or as one of a group: data, device, loop, and an orderly end whatever happens."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace

from trickster_engine import __version__
from trickster_engine.backends.base import Backend
from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.backends.select import chosen_device, open_backend
from trickster_engine.backends.torch.broken import open_broken
from trickster_engine.config.plan_values import Values
from trickster_engine.config.shapes import count_parameters
from trickster_engine.data.background_counting import Counting
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.facts import TextFacts
from trickster_engine.data.findings import require_trainable
from trickster_engine.data.prepare import prepare
from trickster_engine.data.survey import text_facts
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import teachers_of
from trickster_engine.inference.sampling import encode_prompt
from trickster_engine.runs import RunDirectory, RunHold, RunIdentity, pieces
from trickster_engine.runs.checkpoint_files import Checkpoint, TrainerState, trained_values
from trickster_engine.runs.initial import initial_origin, initial_weights, with_own_tokenizer
from trickster_engine.runs.origin import from_run
from trickster_engine.runs.trained_text import place_asked_for
from trickster_engine.system.files import in_command
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.system.processes import this_process
from trickster_engine.training import guards
from trickster_engine.training.alert_messages import webhook_sender
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.context import Outcome, TrainingContext
from trickster_engine.training.faults import dataset_with
from trickster_engine.training.loop import Trainer, is_evaluated
from trickster_engine.training.model_card import model_card
from trickster_engine.training.outputs import open_recorder, require_outputs
from trickster_engine.training.recorder import Recorder, SilentRecorder
from trickster_engine.training.rescue import RunTakenAwayError, RunWatch, saved_beside
from trickster_engine.training.resuming import require_done, require_unchanged, settled_before
from trickster_engine.training.speed_history import SpeedHistory
from trickster_engine.training.stopping import StopSwitch, stopped_while_preparing
from trickster_engine.training.tracking import make_tracker


def train_here(context: TrainingContext, group: ProcessGroup, *, resuming: bool) -> Outcome:
    """Train in this process, by itself or in a group. Raises TricksterError.

    `resuming` goes on from the newest whole checkpoint, if there is one.
    """
    run, plan = context.run, context.plan
    text = run.config_text()
    if group.is_main:
        require_outputs(context)
    tracker = make_tracker(plan) if group.is_main else None
    webhook = webhook_sender(plan.alerts.webhook) if group.is_main and plan.alerts.webhook else None
    watchers = [*context.watchers, SpeedHistory(), *(one for one in (tracker, webhook) if one is not None)]
    recorder = open_recorder(context, watchers) if group.is_main else SilentRecorder(run)
    hold = hold_of(context) if group.is_main else None
    watch = RunWatch(hold, group)
    switch = StopSwitch(run, watch.lost_here)
    backend: Backend | None = None
    trainer: Trainer | None = None
    identity: RunIdentity | None = None
    counting: Counting | None = None
    step = 0

    def report(message: str) -> None:
        recorder.status("preparing", step, message)

    try:
        switch.heed_hang_up()
        folder = run.checkpoints_meant(plan, context.folder)
        store = CheckpointStore(folder, run.path, plan.training.keep_best_n, group, context.uid)
        checkpoint = store.newest() if resuming else None
        step = checkpoint.state.step if checkpoint else 0
        before: Values = {}
        if checkpoint is None:
            _require_no_checkpoints(context, store, resuming=resuming)
        else:
            before = trained_values(checkpoint.path)
            require_unchanged(before, plan, run.config_path)
        if not context.overseen:
            others = f", with {group.size - 1} others" if group.size > 1 else ""
            recorder.status("starting", step, f"process {this_process().pid}{others}")
            recorder.action("start", step, context.origin)
            recorder.status("preparing", step)
        for note in context.notes:
            recorder.warning(*note)
        if resuming and (others_checkpoints := store.foreign()):
            recorder.warning(
                "checkpoints-of-another-run",
                f"{others_checkpoints[-1]} belongs to another run in this folder.",
                "This run does not use it and leaves it unchanged.",
            )
        if checkpoint and store.steps()[-1] != checkpoint.path:
            recorder.warning(
                "checkpoint-damaged",
                f"The newest checkpoint, {store.steps()[-1]}, is damaged.",
                f"The run resumes from {checkpoint.path.name}.",
            )
        dataset, facts = prepare_data(context, report)
        if checkpoint is None:
            for finding in require_trainable(plan, facts):
                recorder.warning(finding.code, finding.message, finding.advice)
        if checkpoint and checkpoint.state.data_fingerprint != dataset.fingerprint:
            raise TricksterError(
                "data-changed",
                "The text has changed since this run started, so resuming would not be the same training.",
                "Restore the old text, or start a new run.",
            )
        kind = chosen_device(plan)
        precision, compiled = settled_before(plan, before, checkpoint.state if checkpoint else None, kind)
        document_end = dataset.tokenizer.end_id if plan.data.mask_documents else None
        teachers = teachers_of(run, plan, dataset.tokenizer)
        backend = (
            open_broken(plan, context.fault)
            if context.fault
            else open_backend(plan, precision, compiled, report, run.events_path, group, document_end, teachers)
        )
        if group.is_main and plan.training.layer_statistics and backend.layer_watch is None:
            report(f"layer statistics are not available on {backend.device}")
        require_done(plan, before, backend)
        state = TrainerState(0, dataset.fingerprint, kind, backend.precision, backend.compiled)
        if checkpoint:
            state = replace(checkpoint.state, device=kind, precision=backend.precision, compiled=backend.compiled)
            backend.load(checkpoint.weights, checkpoint.optimizer_state, checkpoint.random_state)
        elif plan.model.init_from is not None:
            backend.load(initial_weights(run, plan), backend.optimizer_state(), backend.random_state())
        watch.require()
        if group.is_main:
            # Begun here: opening the backend times what is faster, and nothing may count beside that.
            counting = Counting(dataset, plan.model.vocab_size)
            counting.begin()
            identity = _identity(context, dataset, facts, backend, counting.known)
            run.write_identity(identity)
            if tracker is not None and resuming:
                tracker.resumed_from = step, state.last_eval_step == step or not is_evaluated(step, plan)
            recorder.ready(plan, identity)
            if counting.done and len((run.identity_if_readable() or identity).baselines) < len(counting.known):
                recorder.baselines(step, counting.known)  # counted since the run was started
            if checkpoint:
                _finish_save(run, store, recorder, checkpoint)
        for notice in backend.notices():
            recorder.warning(*notice)
        if group.is_main or os.environ.get("LOCAL_RANK") == "0":  # once on each machine, which has a cache of its own
            dataset.verification.begin()
        switch.arm()
        stop_requested = (lambda: group.any(switch.requested())) if group.size > 1 else switch.requested
        resumed_from = checkpoint.path if checkpoint else None
        trainer = Trainer(
            plan,
            dataset_with(dataset, context.fault),
            backend,
            store,
            recorder,
            stop_requested,
            state,
            watch,
            step,
            resumed_from,
            counting,
            tell_findings=not context.fault,
        )
        outcome = trainer.train()
        step = trainer.state.step
        if outcome == "finished":
            card = ""
            if identity is not None and counting is not None:
                counted = replace(identity, baselines=counting.known)
                card = model_card(counted, plan, trainer.state, dataset.tokenizer)
            store.write_final(step, plan, backend.weights(), dataset.tokenizer, card)
        watch.require()
        recorder.status(outcome, step)
        return outcome
    except Exception as error:
        if isinstance(error, RunTakenAwayError):
            step, save = (trainer.state.step, trainer.save_into) if trainer else (step, None)
            error = saved_beside(context, hold, group, text, identity, save, step)
        explained = group.explain(error) or guards.explain(error, plan, run)
        if not context.overseen:
            record_failure(recorder, error, explained, trainer.state.step if trainer else step)
        raise (explained or error) from error
    finally:
        switch.disarm()
        if counting is not None:
            counting.close()
        if backend is not None:
            backend.close()
        recorder.close()
        if webhook is not None:
            webhook.close()
        if tracker is not None:
            with contextlib.suppress(Exception):  # its files are a convenience; how the run ended is not
                tracker.close()
        if hold is not None:
            if hold.loss() is None:
                run.forget_stop_request()
            hold.close()


def hold_of(context: TrainingContext) -> RunHold:
    """An eye on the directory and the lock of a run that is locked for this session. Raises TricksterError."""
    path = context.run.path
    try:
        hold = RunHold(path)
        hold.watch_lock()
    except OSError as error:
        raise cannot_write(error, f"into {path}", "do not change a run's folder while it trains") from error
    return hold


def _require_no_checkpoints(context: TrainingContext, store: CheckpointStore, *, resuming: bool) -> None:
    """Training begins anew: say so where somebody would expect it to go on, or checkpoints be lost."""
    if not resuming:
        if not store.steps() and not store.foreign():
            return
        raise TricksterError(
            "checkpoints-of-another-run",
            f"{store.folder} contains the checkpoints of an earlier run with this name.",
            "Move them away or delete them, or choose another folder with output_config.checkpoint_dir.",
        )
    if store.steps() or _has_saved(context.run):
        raise TricksterError(
            "no-whole-checkpoint",
            f"{store.folder} has no complete checkpoint of {context.run.id}, although the run saved some.",
            "Restore them, or start a new run; resuming would restart from random weights.",
        )


def _finish_save(run: RunDirectory, store: CheckpointStore, recorder: Recorder, checkpoint: Checkpoint) -> None:
    """What a trainer does once its checkpoint is whole, and had no time for if it was killed just then."""
    state, path = checkpoint.state, checkpoint.path
    store.finish(state)
    saved = [event for piece in pieces(run.events_path) for event in piece.events if event["kind"] == "checkpoint"][-1:]
    reported = (saved[0]["step"], saved[0]["val_loss"]) if saved else (-1, None)
    if reported[0] < state.step or (reported[0] == state.step and reported[1] != state.current_val_loss):
        recorder.checkpoint(state.step, path, state.current_val_loss, path.name == state.best_checkpoint)


def _has_saved(run: RunDirectory) -> bool:
    return any(event["kind"] == "checkpoint" for piece in pieces(run.events_path) for event in piece.events)


def prepare_data(context: TrainingContext, report: Callable[[str], None] | None = None) -> tuple[Dataset, TextFacts]:
    """The tokens to train on, in which the prompt can be written, and what is known of their text.

    `report` hears how far it is, every few seconds, where that takes long. A request to stop ends it, and nothing needs
    saving yet. Raises TricksterError.
    """
    run, plan = context.run, context.plan

    def interrupt() -> None:
        if run.stop_requested():
            raise stopped_while_preparing()

    try:
        dataset = prepare(
            with_own_tokenizer(run, plan),
            context.folder,
            config=context.config_path,
            progress=context.show_progress,
            interrupt=interrupt,
            report=report,
            verify=False,
        )
    except TricksterError as error:
        if (identity := run.identity_if_readable()) is None:
            raise
        ask = f"Give its new path: trickster resume {in_command(run.path)} --set {{setting}}"
        raise place_asked_for(error, plan, identity, context.folder, ask) from None
    facts = text_facts(plan, dataset, progress=context.show_progress, interrupt=interrupt)
    encode_prompt(dataset.tokenizer, plan.sampling.prompt)  # now, rather than at the first evaluation
    return dataset, facts


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


def _identity(
    context: TrainingContext, dataset: Dataset, facts: TextFacts, backend: Backend, baselines: dict[str, float]
) -> RunIdentity:
    process = this_process()
    return RunIdentity(
        id=context.run.id,
        config_path=str(context.config_path),
        created=time.time(),
        host=platform.node(),
        pid=process.pid,
        pid_started=process.started,
        backend=backend.name,
        device=backend.device,
        precision=backend.precision,
        versions={"trickster": __version__, **backend.versions},
        data={
            **dataset.as_json(),
            "text": facts.as_json(),
            **({"fault": context.fault} if context.fault else {}),
        },
        parameters=count_parameters(context.plan.model).total,
        baselines=baselines,
        uid=context.uid,
        config_from_run=from_run(context.run.path, context.config_path),
        initial=initial_origin(context.run),
    )
