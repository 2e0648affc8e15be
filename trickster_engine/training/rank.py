"""One process of a run that several train, started by torchrun: `trickster_engine.training.rank RUN CONFIG [TEXT]`.

On one machine, the process that started it holds the run and has written its config. On several (TEXT is given: a file
with the config's text) the first of all processes does both, or goes on with the run where it has begun already.
It ends with the process that started it. Exit code 0 stands for a finished and for a stopped run alike, because to
torchrun anything else is a failure; which of the two it was is in the run's events.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from trickster_engine.errors import TricksterError
from trickster_engine.system.lifeline import end_with_starter, end_with_stdin
from trickster_engine.training.failures import report_failure


def main() -> NoReturn:
    """Train, and report what went wrong, also where it goes wrong while torch and the trainer are loaded."""
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
        report_failure(error)
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: in an orderly exit torch's own threads may wait for processes that are no more, or abort.
    os._exit(code)


def train(path: Path, config_path: Path) -> None:
    """Take part in training a run whose config is written and whose text is prepared. Raises TricksterError.

    `config_path` is where that config came from: what it names is found beside it.
    """
    from trickster_engine.backends.select import chosen_device
    from trickster_engine.backends.torch.process_group import torch_process_group
    from trickster_engine.runs import RunDirectory
    from trickster_engine.training.context import context_of
    from trickster_engine.training.process import train_here

    run = RunDirectory(path)
    context = context_of(run, config_path, overseen=True)
    with torch_process_group(chosen_device(context.plan)) as group:
        train_here(context, group, resuming=group.broadcast(run.identity() is not None))


def train_with_other_machines(path: Path, config_path: Path, text: str) -> None:
    """Take part in training a run that machines share through their file system. Raises TricksterError."""
    from trickster_engine.backends.select import chosen_device
    from trickster_engine.backends.torch.process_group import patience_s, torch_process_group
    from trickster_engine.config import check
    from trickster_engine.runs import RunDirectory, RunLock, new_uid
    from trickster_engine.runs.directory import INITIAL_FOLDER, TEACHER_FOLDERS
    from trickster_engine.runs.initial import written_out
    from trickster_engine.system.files import write_text_atomically
    from trickster_engine.system.replace_folder import discard
    from trickster_engine.training.context import context_of
    from trickster_engine.training.process import train_here
    from trickster_engine.training.start import begin_from

    run = RunDirectory(path)
    # A run's own config says everything, also when the folder that its weights came from has gone.
    plan = check(text).plan or check(text, config_path.parent).plan
    if plan is None:
        raise TricksterError("config-invalid", "The config has errors.", "Validate it with: trickster check CONFIG")
    text = written_out(text, plan)
    with ExitStack() as stack:
        group = stack.enter_context(torch_process_group(chosen_device(plan)))
        if group.is_main:
            path.mkdir(parents=True, exist_ok=True)
            # The one who led before may be on a machine that is cut off, and notices that a moment later.
            identity = run.identity()
            uid = new_uid() if identity is None else identity.uid
            stack.enter_context(RunLock(path, patience_s=min(60, patience_s()), uid=uid))
            if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
                run.clear_stop_request()
            if not os.path.lexists(run.config_path):
                for copied in (INITIAL_FOLDER, *TEACHER_FOLDERS):  # of a process that was killed while it copied
                    discard(run.path / copied)
                begin_from(run, plan, config_path.parent)
                write_text_atomically(run.config_path, text)  # last: it says that the copy is whole
        resuming = group.broadcast(run.identity() is not None)
        if run.config_text() != text:
            raise TricksterError(
                "another-config",
                f"{path} was started with another config.",
                "Launch it with the config.yaml in it, or choose another --run-dir.",
            )
        train_here(context_of(run, config_path, overseen=False), group, resuming=resuming)


if __name__ == "__main__":
    main()
