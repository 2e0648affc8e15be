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

from trickster_engine.runs.create import config_name, create_run, new_uid
from trickster_engine.runs.directory import (
    CONFIG_FILE,
    IDENTITY_FILE,
    LOG_FILE,
    REPORT_FILE,
    SAMPLES_FILE,
    STOP_FILE,
    RunDirectory,
    RunIdentity,
    find_runs,
    is_run_directory,
)
from trickster_engine.runs.events import EventLog, Piece, pieces, read_ends, read_events, read_piece
from trickster_engine.runs.hold import EVENTS_FILE, LOCK_FILE, LOSSES, Loss, RunHold
from trickster_engine.runs.lock import RunLock, link_in_run, owner_of, read_lock_holder, read_lock_uid
from trickster_engine.runs.state import RunState, RunSummary, summarize

__all__ = [
    "CONFIG_FILE",
    "EVENTS_FILE",
    "IDENTITY_FILE",
    "LOCK_FILE",
    "LOG_FILE",
    "LOSSES",
    "REPORT_FILE",
    "SAMPLES_FILE",
    "STOP_FILE",
    "EventLog",
    "Loss",
    "Piece",
    "RunDirectory",
    "RunHold",
    "RunIdentity",
    "RunLock",
    "RunState",
    "RunSummary",
    "config_name",
    "create_run",
    "find_runs",
    "is_run_directory",
    "link_in_run",
    "new_uid",
    "owner_of",
    "pieces",
    "read_ends",
    "read_events",
    "read_lock_holder",
    "read_lock_uid",
    "read_piece",
    "summarize",
]
