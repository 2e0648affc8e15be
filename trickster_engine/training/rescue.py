"""When a run is taken from its trainer: what is in memory is saved beside it, as a run that can be gone on with."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trickster_engine.backends.process_group import ProcessGroup
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.runs import Loss, RunDirectory, RunHold, RunIdentity, new_uid
from trickster_engine.system.files import in_command, write_text_atomically
from trickster_engine.system.os_errors import reason
from trickster_engine.training.checkpoints import CheckpointStore
from trickster_engine.training.context import TrainingContext
from trickster_engine.training.recorder import Recorder


class RunTakenAwayError(Exception):
    """The run's folder or lock is gone, moved or replaced. All processes of a run raise it at the same point."""


class RunWatch:
    """Asks whether the run is still there, for all the processes that train it."""

    def __init__(self, hold: RunHold | None, group: ProcessGroup) -> None:
        """`hold` is the main process's."""
        self._hold = hold
        self._group = group

    def lost_here(self) -> bool:
        """Whether this process sees it gone; only the main process looks."""
        return self._hold is not None and self._hold.loss() is not None

    def lost(self) -> bool:
        """Whether it is gone. The same answer for all, who must all ask."""
        return self._group.any(self.lost_here())

    def require(self) -> None:
        """Raise RunTakenAwayError for all processes where the run is gone."""
        if self.lost():
            raise RunTakenAwayError

    def explains(self, error: OSError) -> bool:
        """Whether a failed write failed because the run is gone. Of several processes, the others may not ask now."""
        return self._group.size == 1 and self.lost_here()


def saved_beside(
    context: TrainingContext,
    hold: RunHold | None,
    group: ProcessGroup,
    text: str,
    identity: RunIdentity | None,
    save: Callable[[CheckpointStore], Path] | None,
    step: int,
) -> TricksterError:
    """Save what is in memory beside the lost run, and return the error that says so.

    `text` is the config's, and `save` writes a checkpoint into a store; None where nothing is in memory yet. In a
    group, all take part.
    """
    if hold is None:  # not the main process
        if save is not None:
            save(CheckpointStore(context.run.path, context.run.path, 1, group))
        return TricksterError("run-lost", "The run's folder was taken away while it trained.", "", EXIT_TRAINING_FAILED)
    loss = hold.loss() or Loss("run-lost", f"{context.run.path} was taken away for a while", None)
    if save is None or identity is None:
        advice = "No step was done yet, so there is nothing to save: start again, and do not change its folder."
        return TricksterError(loss.code, f"{loss.message}.", advice, EXIT_TRAINING_FAILED)
    uid = new_uid()
    try:
        rescue = RunDirectory(_new_folder(context, loss))
        write_text_atomically(rescue.config_path, text)
        folder = rescue.checkpoints_meant(context.plan, context.folder)
        store = CheckpointStore(folder, rescue.path, context.plan.training.keep_best_n, group, uid)
        path = save(store)
        rescue.write_identity(replace(identity, id=rescue.id, uid=uid))
        _write_events(rescue, context.run, step, path)
    except OSError as error:
        return TricksterError(
            loss.code,
            f"{loss.message}. Step {step}, which was in memory, could not be saved beside the run: {reason(error)}.",
            _where_to_go_on(loss),
            EXIT_TRAINING_FAILED,
        )
    return TricksterError(
        loss.code,
        f"{loss.message}. Training stopped; step {step}, which was in memory, is saved in {rescue.path}.",
        f"Resume with: trickster resume {in_command(rescue.path)}",
        EXIT_TRAINING_FAILED,
    )


def _where_to_go_on(loss: Loss) -> str:
    if loss.now is None:
        return "Put the folder back and resume it if you can; otherwise start a new run."
    return f"Resume from its last checkpoint with: trickster resume {in_command(loss.now)}"


def _new_folder(context: TrainingContext, loss: Loss) -> Path:
    """A new folder beside the one where the run is now, or else beside where it was. Raises OSError."""
    run = context.run
    name = f"{run.id}-rescued-{context.uid[:8] or secrets.token_hex(4)}"
    parents = ([loss.now.parent] if loss.now else []) + [run.path.parent]
    for number, parent in enumerate(parents):
        try:
            for suffix in ("", *(f"-{n}" for n in range(2, 100))):
                try:
                    (parent / f"{name}{suffix}").mkdir(parents=number == len(parents) - 1)
                except FileExistsError:
                    continue
                return parent / f"{name}{suffix}"
        except OSError:
            if parent == parents[-1]:
                raise
    raise FileExistsError(f"{name} is there a hundred times")


def _write_events(rescue: RunDirectory, run: RunDirectory, step: int, checkpoint: Path) -> None:
    recorder = Recorder(rescue, rescue.path / "log.txt")
    try:
        recorder.status("starting", step, f"saved from the memory of the trainer of {run.path}")
        recorder.checkpoint(step, checkpoint, None, best=False)
        recorder.status("stopped", step)
    finally:
        recorder.close()
