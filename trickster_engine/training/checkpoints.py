"""Checkpoints that are whole or not there at all.

    checkpoints/step-001000/
        config.json  generation_config.json  model.safetensors  tokenizer.json  tokenizer_config.json
        checksums.json                  sums of the files above, for a copy of the model alone
        trainer/state.json              step, best losses, fingerprint of the data, early stopping
        trainer/plan.json               the plan that it was trained by
        trainer/optimizer.safetensors   trainer/random.safetensors
        trainer/manifest.json           size and SHA-256 of every file above, and whose they are; written last

A checkpoint is written into a temporary sibling, flushed, read back, and only then put in its place in one step. Which
checkpoint is the newest whole one is decided from the folders themselves, a sealed sibling among them; `latest.json`
and `best.json` are a convenience for people.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from trickster_engine.backends.process_group import SINGLE_PROCESS, ProcessGroup
from trickster_engine.config.plan import Plan
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.model.checksums import is_sealed, read_manifest, verify
from trickster_engine.model.stored_arrays import Array
from trickster_engine.runs.checkpoint_files import (
    Checkpoint,
    Continuation,
    TrainerState,
    checkpoint_folders,
    checkpoint_name,
    read_state,
    read_verified,
    step_of,
    write_checkpoint,
)
from trickster_engine.system.files import NotAPlainFileError, sweep_temporaries, sync_folder, write_json_atomically
from trickster_engine.system.replace_folder import discard, replace_folder

FINAL_FOLDER = "final"
#: `.step-001000.<run>-<random>.tmp` is being written, `….old.tmp` goes; `.step-001000.<pid>.tmp` is of before.
_TEMPORARY = re.compile(r"\.(?P<name>step-[0-9]{6,18}|final)(?:\.(?P<owner>[^.]*))?(?:\.old)?\.tmp")


class CheckpointStore:
    """The checkpoints of one run, below one folder. Whoever writes or looks for the newest holds the run's lock."""

    def __init__(
        self,
        folder: Path,
        run_path: Path,
        keep_best: int,
        group: ProcessGroup = SINGLE_PROCESS,
        run_uid: str = "",
    ) -> None:
        """`run_path` receives `latest.json` and `best.json`; the best `keep_best` and the newest two are kept.

        `run_uid` is the run's random id: checkpoints of another run are neither gone on from nor removed. In a group
        only the main process touches the disk; the others call the same methods and hear what came of it.
        """
        self.folder = folder
        self.run_uid = run_uid
        self._run_path = run_path
        self._keep_best = keep_best
        self._group = group

    def save(
        self,
        plan: Plan,
        weights: Mapping[str, Array],
        tokenizer: Tokenizer,
        continuation: Continuation,
        refuse: Callable[[Path], None] = lambda _: None,
    ) -> Path:
        """Write one checkpoint and drop those that are no longer kept. Raises OSError, leaving nothing half-written.

        `refuse` looks at what was written before it is put in its place; where it raises, nothing has changed.
        """
        state = continuation.state
        target = self.folder / checkpoint_name(state.step)
        if not self._group.is_main:
            participate_in_save(weights)
            participate_in_save(continuation.optimizer_state)
            return target
        if self.folder.parent == self._run_path and self.folder.is_symlink():  # put there since training began
            raise NotAPlainFileError(self.folder, "link")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sweep()
        temporary = _temporary(target, self.run_uid)
        try:
            temporary.mkdir()
            write_checkpoint(temporary, self.run_uid, state.step, plan, weights, tokenizer, continuation)
            try:
                refuse(temporary)
            except BaseException:
                discard(temporary)
                raise
            # What is there already are the same weights, before they were evaluated.
            replace_folder(temporary, target, _temporary(target, self.run_uid, old=True))
            sync_folder(self.folder)
        except BaseException:
            if target.is_dir() or not is_sealed(temporary):
                discard(temporary)
            raise
        self._write_pointers(state)
        self._drop_old(state)
        return target

    def finish(self, state: TrainerState) -> None:
        """Do what follows a save, for whoever was killed in between: pointers, and nothing that is no longer kept."""
        if self._group.is_main:
            self.sweep()
            self._write_pointers(state)
            self._drop_old(state)

    def write_final(
        self, step: int, plan: Plan, weights: Mapping[str, Array], tokenizer: Tokenizer, card: str = ""
    ) -> None:
        """Write the last weights into the run's `final/`, replaced as a whole, with a model card. Raises OSError."""
        if not self._group.is_main:
            participate_in_save(weights)
            return
        for leftover in _temporaries(self._run_path, FINAL_FOLDER, self.run_uid):
            discard(leftover)
        target = self._run_path / FINAL_FOLDER
        temporary = _temporary(target, self.run_uid)
        try:
            temporary.mkdir()
            write_checkpoint(temporary, self.run_uid, step, plan, weights, tokenizer, None, card)
            replace_folder(temporary, target, _temporary(target, self.run_uid, old=True))
            sync_folder(self._run_path)
        except BaseException:
            discard(temporary)
            raise

    def sweep(self) -> None:
        """Remove what earlier processes of this run left behind; a newest checkpoint among it is put in its place."""
        sweep_temporaries(self.folder)
        leftovers = _temporaries(self.folder, "step-", self.run_uid)
        if not leftovers:
            return
        try:
            self.newest_whole()
        except TricksterError:  # one that cannot be read for now, and may be the one that counts
            return
        for leftover in leftovers:
            discard(leftover)

    def steps(self) -> list[Path]:
        """The checkpoint folders, oldest first, whole or not. Those that say that they are another run's are not."""
        return [path for path in checkpoint_folders(self.folder) if not self._is_foreign(path)]

    def foreign(self) -> list[Path]:
        """The checkpoint folders that another run has written."""
        return [path for path in checkpoint_folders(self.folder) if self._is_foreign(path)]

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None. Damaged ones are passed over.

        Raises TricksterError `checkpoint-unreadable` where a newer one may be whole and cannot be read.
        """
        path = self._group.broadcast(self.newest_whole() if self._group.is_main else None)
        return None if path is None else read_verified(path)

    def newest_whole(self) -> Path | None:
        """The folder of the newest checkpoint that is whole, or None. One that a crash kept from its place goes there.

        Raises TricksterError as `newest` does, OSError where a checkpoint cannot be put in its place.
        """
        for path in self._candidates():
            try:
                manifest = verify(path)
                step = read_state(path).step
            except TricksterError as error:
                if error.code == "checkpoint-unreadable":
                    raise
                continue
            target = self.folder / checkpoint_name(step)
            if self._is_anothers(manifest.run) or _name_of(path) != target.name:
                continue
            if path != target:
                replace_folder(path, target, _temporary(target, self.run_uid, old=True))
                sync_folder(self.folder)
            return target
        return None

    def _candidates(self) -> list[Path]:
        """Everything that may be a whole checkpoint: newest first, and of one step what lies in its place first."""
        found = [*checkpoint_folders(self.folder), *_temporaries(self.folder, "step-", self.run_uid)]

        def rank(path: Path) -> tuple[int, bool, bool]:
            return -step_of(_name_of(path)), path.name.startswith("."), path.name.endswith(".old.tmp")

        return sorted(found, key=rank)

    def _is_foreign(self, path: Path) -> bool:
        """Whether a checkpoint says that it is another run's. One that says nothing legible may be this one's."""
        owner = _owner(path)
        return owner is not None and self._is_anothers(owner)

    def _is_anothers(self, uid: str) -> bool:
        """Checkpoints of before there were ids are whoever's folder they lie in."""
        return bool(uid) and uid != self.run_uid

    def _write_pointers(self, state: TrainerState) -> None:
        pointed = [("latest", checkpoint_name(state.step), state.val_loss)]
        if (best := state.best_checkpoint) is not None:
            pointed.append(("best", best, state.best_val_losses[best]))
        for pointer, name, val_loss in pointed:
            path = os.path.relpath(self.folder / name, self._run_path)
            write_json_atomically(
                self._run_path / f"{pointer}.json", {"step": step_of(name), "path": path, "val_loss": val_loss}
            )

    def _drop_old(self, state: TrainerState) -> None:
        """Drop what is neither among the best nor one of the newest two, and surely this run's.

        What is newer than the one just saved was passed over as damaged. It stays until training comes to its step.
        """
        best = sorted(state.best_val_losses, key=lambda name: state.best_val_losses[name])[: self._keep_best]
        older = [path for path in self.steps() if step_of(path.name) < state.step]
        for path in older[:-1]:
            if path.name in best:
                continue
            owner = _owner(path)
            if owner is not None and not self._is_anothers(owner):
                # Under another name first: killed in the middle, this leaves no half of it to trip over.
                with contextlib.suppress(OSError):
                    discard(path.replace(_temporary(path, self.run_uid, old=True)))


def participate_in_save(arrays: Mapping[str, object]) -> None:
    """Ask for every array, as the main process does to write it: some are put together from the shares of all."""
    for name in arrays:
        arrays[name]


def _temporary(target: Path, run_uid: str, *, old: bool = False) -> Path:
    return target.with_name(f".{target.name}.{run_uid}-{secrets.token_hex(8)}{'.old' if old else ''}.tmp")


def _temporaries(folder: Path, beginning: str, run_uid: str) -> list[Path]:
    """What writers of this run left in a folder, and those of before there were ids."""
    found = []
    for path in folder.glob(f".{beginning}*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and (match["owner"] or "").rpartition("-")[0] in ("", run_uid):
            found.append(path)
    return found


def _owner(path: Path) -> str | None:
    """The id of the run that a checkpoint says it is of; empty of before there were ids, None where it is illegible."""
    try:
        return read_manifest(path).run
    except TricksterError:
        return None


def _name_of(path: Path) -> str:
    """The checkpoint's name that a folder has, or is on the way to."""
    match = _TEMPORARY.fullmatch(path.name)
    return match["name"] if match else path.name
