"""Why a training process failed: written where torchrun looks for it, and read by the process that started them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trickster_engine.backends.process_group import PROCESS_LOST
from trickster_engine.errors import EXIT_TRAINING_FAILED, TricksterError
from trickster_engine.system.files import open_to_append

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

#: What a TricksterError is kept under in the file through which torchrun reports why a process failed.
_ERROR_KEY = "trickster"


def report_failure(error: Exception) -> None:
    """Write the error where torchrun's own processes look for it, in the form they know."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        traceback.print_exception(error)
        return
    explained = error if isinstance(error, TricksterError) else None
    report = {
        "message": {
            "message": str(error),
            "extraInfo": {
                "py_callstack": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
                "timestamp": str(int(time.time())),
            },
        },
        _ERROR_KEY: list(explained.args) if explained else None,
    }
    Path(path).write_text(json.dumps(report), encoding="utf-8")


def cause_of(failures: Mapping[int, ProcessFailure], log_path: Path) -> TricksterError:
    """Of everything that failed, what came first: the others only lost touch with it."""

    def order(item: tuple[int, ProcessFailure]) -> tuple[int, int]:
        rank, failure = item
        reported = _reported(failure)
        if reported is not None:
            return (2 if reported.code == PROCESS_LOST else 0, rank)
        # torchrun ends those that are left with SIGTERM, and with SIGKILL only those that do not heed it.
        return (3 if failure.exitcode == -signal.SIGTERM else 1, rank)

    rank, failure = min(failures.items(), key=order)
    reported = _reported(failure)
    if reported is not None:
        return reported
    data = failure.error_file_data.get("message")
    if isinstance(data, dict):  # a defect of ours: keep its traceback
        with contextlib.suppress(OSError), open_to_append(log_path) as log:
            log.write(f"process {rank}:\n{data['extraInfo']['py_callstack']}\n".encode("utf-8", "replace"))
        return TricksterError(
            "unexpected",
            f"Process {rank} failed: {data['message']}",
            "log.txt in the run directory has the details.",
            EXIT_TRAINING_FAILED,
        )
    how = (
        f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with exit code {failure.exitcode}"
    )
    memory = " The system also sends SIGKILL when memory runs out." if failure.exitcode == -9 else ""
    return TricksterError(
        PROCESS_LOST,
        f"Process {rank} of the run (pid {failure.pid}) {how}, so the others were ended as well.{memory}",
        "The last checkpoint is complete. Resume with: trickster resume <run>",
        EXIT_TRAINING_FAILED,
    )


def _reported(failure: ProcessFailure) -> TricksterError | None:
    values = failure.error_file_data.get(_ERROR_KEY)
    return TricksterError(*values) if values else None
