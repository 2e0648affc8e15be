"""All that a run will write to, tried before anything is computed: what cannot be written shows now, not in an hour."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from trickster_engine.errors import TricksterError
from trickster_engine.runs import link_in_run
from trickster_engine.system.files import NotAPlainFileError, create_file, temporary_name
from trickster_engine.system.os_errors import cannot_write
from trickster_engine.training.context import TrainingContext
from trickster_engine.training.recorder import Recorder, Watcher

#: More than fits beside the names in a folder itself: a full disk shows.
_PROBE = bytes(8192)


def require_outputs(context: TrainingContext) -> None:
    """Raise TricksterError where a folder of this run cannot be written, with the setting that names another."""
    run, plan = context.run, context.plan
    run.refuse_links()
    checkpoints = run.checkpoints_meant(plan, context.folder)
    choose = "choose another folder with output_config."
    _require(run.path, f"into the run's folder {run.path}", f"{choose}output_dir")
    where = "output_dir" if plan.output.checkpoint_dir is None else "checkpoint_dir"
    _require(checkpoints, f"checkpoints into {checkpoints}", choose + where)
    where = "output_dir" if plan.output.log_dir is None else "log_dir"
    _require(context.log_path.parent, f"the log into {context.log_path.parent}", choose + where)
    if plan.training.tracking != "none":
        folder = run.path / plan.training.tracking
        _require(folder, f"{plan.training.tracking}'s files into {folder}", "set training_config.tracking: none")


def open_recorder(context: TrainingContext, watchers: Sequence[Watcher]) -> Recorder:
    """The recorder of a run. Raises TricksterError where one of its files cannot be written."""
    try:
        return Recorder(context.run, context.log_path, watchers)
    except NotAPlainFileError as error:
        raise link_in_run(Path(error.filename), error) from error
    except OSError as error:
        what = error.filename or context.log_path
        raise cannot_write(error, what, "choose another folder with output_config.log_dir") from error


def _require(folder: Path, what: str, elsewhere: str) -> None:
    """Make a file in a folder and take both away again, as far as they were made here."""
    made = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / temporary_name("probe")
        try:
            with create_file(probe) as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            if os.path.lexists(probe):
                probe.unlink()
    except OSError as error:
        raise _refused(error, folder, what, elsewhere) from error
    finally:
        for path in made:
            try:
                path.rmdir()
            except OSError:
                break


def _missing(folder: Path) -> list[Path]:
    """The folders that are yet to be made, the innermost first."""
    missing: list[Path] = []
    for path in (folder, *folder.parents):
        if os.path.lexists(path):
            break
        missing.append(path)
    return missing


def _refused(error: OSError, folder: Path, what: str, elsewhere: str) -> TricksterError:
    if isinstance(error, FileExistsError) and not folder.is_dir():
        return TricksterError(
            "output-not-writable",
            f"Cannot write {what}: there is a file in place of the folder.",
            f"Move {folder} away, or {elsewhere}.",
        )
    return cannot_write(error, what, elsewhere, "output-not-writable")
