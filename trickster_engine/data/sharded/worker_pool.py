"""Several processes that work on the shards of a large text side by side; what they do is in `worker.py`.

They are plain child processes that speak JSON by lines: nothing is forked with locks held or with torch loaded, and
when this process is killed, their input ends and so do they. Of the standard library's pools, spawned processes look
for `multiprocessing` in the folder one stands in first, which Python 3.10 cannot be told to leave out, and live on
without the process that has started them. These are started by `system/launcher.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from trickster_engine.errors import TricksterError
from trickster_engine.system.programs import python_command, safe_environment

_LOOK_UP_S = 0.5  # how often to ask whether to stop while no process has anything to say


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Processes for shards, started when there is work and ended with the context."""

    def __init__(self, count: int | None = None, interrupt: Callable[[], None] | None = None) -> None:
        """Use up to `count` processes, by default as many as cores; `interrupt` may raise to end the work early."""
        self._count = count or usable_cores()
        self._interrupt = interrupt
        self._processes: list[subprocess.Popen[str]] = []
        self._answers: queue.SimpleQueue[tuple[int, dict[str, Any] | None]] = queue.SimpleQueue()

    def __enter__(self) -> Workers:
        """Start nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all processes; what they were in the middle of is lost."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()

    def run(
        self, jobs: Iterable[tuple[int, dict[str, Any]]], progress: Callable[[int], None]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Do numbered jobs and yield their answers as they come; `progress` is told of every few bytes read.

        Raises the TricksterError that a job raises, and `preparing-failed` when a process ends by itself.
        """
        waiting = iter(jobs)
        doing: dict[int, int] = {}  # process -> job
        for number in range(self._count):
            if (job := next(waiting, None)) is None:
                break
            self._give(number, job)
            doing[number] = job[0]
        while doing:
            if self._interrupt is not None:
                self._interrupt()
            try:
                number, answer = self._answers.get(timeout=_LOOK_UP_S)
            except queue.Empty:
                continue
            if answer is None:
                raise self._ended(number)
            if "bytes" in answer:
                progress(answer["bytes"])
                continue
            if "error" in answer:
                raise TricksterError(*answer["error"])
            finished = doing.pop(number)
            if (job := next(waiting, None)) is not None:
                self._give(number, job)
                doing[number] = job[0]
            yield finished, answer["done"]

    def _give(self, number: int, job: tuple[int, dict[str, Any]]) -> None:
        while number >= len(self._processes):
            self._start()
        pipe = self._processes[number].stdin
        assert pipe is not None
        with contextlib.suppress(OSError):  # it has ended, and its reader says so
            pipe.write(json.dumps(job[1]) + "\n")
            pipe.flush()

    def _start(self) -> None:
        process = subprocess.Popen(
            python_command("trickster_engine.data.sharded.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env=safe_environment(os.environ),
        )
        number = len(self._processes)
        self._processes.append(process)
        threading.Thread(target=self._listen, args=(number, process), daemon=True).start()

    def _listen(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):  # closed while being read: the work is over
            for line in process.stdout:
                self._answers.put((number, json.loads(line)))
        self._answers.put((number, None))

    def _ended(self, number: int) -> TricksterError:
        status = self._processes[number].wait()
        return TricksterError(
            "preparing-failed",
            f"A process that was preparing the text ended unexpectedly (exit status {status}).",
            "If the machine ran out of memory, close other programs. Start again: the prepared part is kept.",
        )
