"""Runs command lines of `trickster` in forks of itself, for `faults.Host`: torch is loaded once.

Reads one JSON command a line and answers with one: {"code", "out", "err", "seconds", "stopped"}.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

assert sys.platform == "linux"

#: More than any of these tiny runs needs, and less than would bring the machine down.
MEMORY = 8 << 30
LOADED = (
    "torch",
    "torch._dynamo",  # loaded with the first optimizer otherwise, in every fork
    "trickster_engine.cli",
    "trickster_engine.training.start",
    "trickster_engine.evaluation.compare",
    "trickster_engine.evaluation.report.page",
    "trickster_engine.evaluation.report.study",
    "trickster_engine.inference.load",
)


def child(command: dict[str, Any], folder: Path) -> None:
    """Run the command line as `python -m trickster_engine` would; never comes back."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        os.environ.update(command["environment"])
        os.chdir(command["cwd"])
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - the descriptors, not the parent's objects
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8") for number in (1, 2))  # noqa: PTH123, SIM115
        from trickster_engine.cli import main

        if command["fault"]:
            ctypes.CDLL(None).faults_set(command["fault"].encode())
        code = main(command["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def wait(pid: int, began: float, command: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Wait until the child ends, is stopped by a fault, or has had its time."""
    kill_after, timeout = command.get("kill_after"), command.get("timeout") or 120.0
    code: int | None = None
    stopped = False
    deadline = began + (timeout if kill_after is None else kill_after)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if ended:
            stopped = os.WIFSTOPPED(status)
            code = None if stopped else os.waitstatus_to_exitcode(status)
            break
        left = deadline - time.monotonic()
        if left > 0:
            signal.sigtimedwait({signal.SIGCHLD}, left)
            continue
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status) if kill_after is not None else None
        break
    out, err = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
    return {"code": code, "out": out, "err": err, "seconds": time.monotonic() - began, "stopped": stopped}


def main() -> None:
    folder = Path(sys.argv[1])
    for name in LOADED:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.set_inheritable(answers.fileno(), False)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    pid = 0
    last: dict[str, Any] = {}
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {"code": 0, "out": "", "err": "", "seconds": 0.0}
        if "mount" in command:
            # Changed where it is mounted already.
            options = command["options"]
            again = ",remount" if os.path.ismount(command["mount"]) else ""
            subprocess.run(["mount", "-t", "tmpfs", "-o", options + again, "none", command["mount"]], check=True)
        elif "go_on" in command:
            os.kill(pid, signal.SIGCONT)
            answer = wait(pid, time.monotonic(), {**last, "timeout": command["timeout"]}, folder)
        elif command:
            began = time.monotonic()
            pid, last = os.fork(), command
            if pid == 0:
                child(command, folder)
            answer = wait(pid, began, command, folder)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
