"""One process of a run that several train, started by torchrun: `trickster_engine.training.rank RUN CONFIG [TEXT]`.

On one machine, the process that started it holds the run and has written its config. On several (TEXT is given: a file
with the config's text) the first of all processes does both, or goes on with the run where it has begun already.
It ends with the process that started it. Exit code 0 stands for a finished and for a stopped run alike, because to
torchrun anything else is a failure; which of the two it was is in the run's events.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from trickster_engine.errors import TricksterError
from trickster_engine.system.attached import end_with_starter, end_with_stdin

#: What a TricksterError is kept under in the file through which torchrun tells why a process failed.
ERROR_KEY = "trickster"


def main() -> NoReturn:
    """Train, and leave word of what went wrong."""
    end_with_stdin()
    end_with_starter()
    code = 0
    try:
        run, config, *text = map(Path, sys.argv[1:])
        if text:
            train_with_other_machines(run, config, text[0].read_text(encoding="utf-8"))
        else:
            train(run, config)
    except Exception as error:
        code = error.exit_code if isinstance(error, TricksterError) else 1
        leave_word(error)
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: in an orderly exit torch's own threads may wait for processes that are no more, or abort.
    os._exit(code)


def train(path: Path, config_path: Path) -> None:
    """Take part in training a run whose config is written and whose text is prepared. Raises TricksterError.

    `config_path` is where that config came from: what it names is found beside it.
    """
    from trickster_engine.backends.select import chosen_device
    from trickster_engine.backends.torch.process_group import torchrun_team
    from trickster_engine.runs import RunDirectory
    from trickster_engine.training.one_process import train_here
    from trickster_engine.training.session import session_of

    run = RunDirectory(path)
    session = session_of(run, config_path, overseen=True)
    with torchrun_team(chosen_device(session.plan)) as team:
        train_here(session, team, resuming=team.shared(run.identity() is not None))


def train_with_other_machines(path: Path, config_path: Path, text: str) -> None:
    """Take part in training a run that machines share through their file system. Raises TricksterError."""
    from trickster_engine.backends.select import chosen_device
    from trickster_engine.backends.torch.process_group import patience_s, torchrun_team
    from trickster_engine.config import check
    from trickster_engine.runs import RunDirectory, RunLock, new_uid
    from trickster_engine.system.files import write_text_atomically
    from trickster_engine.training.one_process import train_here
    from trickster_engine.training.session import session_of

    run = RunDirectory(path)
    plan = check(text).plan
    if plan is None:
        raise TricksterError("config-invalid", "The config has errors.", "Validate it with: trickster check CONFIG")
    with ExitStack() as stack:
        team = stack.enter_context(torchrun_team(chosen_device(plan)))
        if team.leads:
            path.mkdir(parents=True, exist_ok=True)
            # The one who led before may be on a machine that is cut off, and notices that a moment later.
            identity = run.identity()
            uid = new_uid() if identity is None else identity.uid
            stack.enter_context(RunLock(path, patience_s=min(60, patience_s()), uid=uid))
            if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
                run.clear_stop_request()
            if not run.config_path.exists():
                write_text_atomically(run.config_path, text)
        resuming = team.shared(run.identity() is not None)
        if run.config_path.read_text(encoding="utf-8") != text:
            raise TricksterError(
                "another-config",
                f"{path} was started with another config.",
                "Launch it with the config.yaml in it, or choose another --run-dir.",
            )
        train_here(session_of(run, config_path, overseen=False), team, resuming=resuming)


def leave_word(error: Exception) -> None:
    """Write the error where torchrun's own processes look for it, in the form they know."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path is None:
        traceback.print_exception(error)
        return
    explained = error if isinstance(error, TricksterError) else None
    word = {
        "message": {
            "message": str(error),
            "extraInfo": {
                "py_callstack": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
                "timestamp": str(int(time.time())),
            },
        },
        ERROR_KEY: list(explained.args) if explained else None,
    }
    Path(path).write_text(json.dumps(word), encoding="utf-8")


if __name__ == "__main__":
    main()
