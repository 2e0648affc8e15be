"""Counts the n-gram baselines beside a run, in a process of the lowest priority, which ends when this one does.

A thread would hold the interpreter's lock that the training loop needs, and at a low priority hold it long. The process
prints what it has counted and keeps it beside the text: a run that is killed meanwhile counts again when it is resumed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from trickster_engine.data.baselines import Baseline, kept_baselines, ngram_baselines, uniform_baseline
from trickster_engine.data.dataset import Dataset, Labels, open_dataset
from trickster_engine.system.programs import python_command, safe_environment

#: Tokens of training text that are counted in less time than a process takes to start.
AT_ONCE = 1 << 16
#: How long a run that has ended waits for it: the cores are free by then.
PATIENCE_S = 10.0


class Counting:
    """The baselines of a run's text, by name, in nats/token.

    `known` has all of them where they were counted before, or the text is short; else only the uniform one, until
    `take` has given the others.
    """

    def __init__(self, dataset: Dataset, vocab_size: int) -> None:
        self._dataset, self._vocab_size = dataset, vocab_size
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._counted: dict[str, float] | None = None
        little = len(dataset.train) <= AT_ONCE
        kept = ngram_baselines(dataset, vocab_size) if little else kept_baselines(dataset, vocab_size)
        self.done = kept is not None
        self.known = _static(kept or [uniform_baseline(vocab_size, dataset.bytes_per_token)])

    def begin(self) -> None:
        """Count from now on, unless that was done. A process that cannot be started leaves a run without baselines."""
        if self.done:
            return
        command = python_command(__name__, self._dataset.directory, str(self._vocab_size))
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # which ends with this process
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                env=safe_environment(os.environ),
                creationflags=getattr(subprocess, "IDLE_PRIORITY_CLASS", 0),  # Windows only; elsewhere `main` asks
            )
            assert self._process.stdout is not None
            self._listener = threading.Thread(
                target=self._listen, args=(self._process.stdout,), daemon=True, name="counting"
            )
            self._listener.start()

    def take(self, *, wait: bool = False) -> dict[str, float] | None:
        """What has been counted, once; None before and after. `wait` gives it a few seconds to end."""
        if wait and self._listener is not None:
            self._listener.join(PATIENCE_S)
        counted, self._counted = self._counted, None
        if counted is not None:
            self.known = counted
        return counted

    def close(self) -> None:
        """End it, whether it is done or not."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if self._listener is not None:
                self._listener.join()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()

    def _listen(self, output: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._counted = json.loads(output.read())


def _static(baselines: list[Baseline]) -> dict[str, float]:
    """The bar of a model with fixed weights: what does not go on counting. By name, in nats/token."""
    return {baseline.name: baseline.nats for baseline in baselines if not baseline.dynamic}


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def main(directory: str, vocab_size: int) -> None:
    """Count, keep and print; in a process of its own."""
    if sys.platform != "win32":
        os.nice(19)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    dataset = open_dataset(Path(directory), Labels("", ""))
    if dataset is not None:
        print(json.dumps(_static(ngram_baselines(dataset, vocab_size))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
