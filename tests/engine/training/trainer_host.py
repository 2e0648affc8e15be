"""Trains in forked children that the tests can kill, so that each costs no new start of Python.

Reads one JSON command a line: {"config": path | null, "run": path | null, "kill_after": seconds | null}. Trains the
config in `run`, or resumes `run`; after `kill_after` seconds the child is killed with SIGKILL. Answers with one JSON
line: {"code": exit code, negative for a signal}.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # torch loads it with the first optimizer: once here, and not in every child

from trickster_engine.config import check
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory
from trickster_engine.training.start import resume, start

assert sys.platform != "win32"


def train(config: str | None, run: str) -> int:
    torch.set_num_threads(1)
    try:
        if config is None:
            outcome = resume(RunDirectory(Path(run)), show_progress=False)
        else:
            text = Path(config).read_text(encoding="utf-8")
            plan = check(text).plan
            assert plan is not None
            _, outcome = start(Path(config), text, plan, run_path=Path(run), show_progress=False)
    except TricksterError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if outcome == "finished" else 3


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(train(command["config"], command["run"]))
        if command["kill_after"] is not None:
            time.sleep(command["kill_after"])
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
