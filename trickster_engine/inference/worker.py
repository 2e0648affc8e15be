"""Keeps a model loaded and writes text with it on demand: `python -m trickster_engine.inference.worker`.

One JSON object a line on standard input, one or more for each on standard output:

    {"id": 1, "method": "generate", "path": RUN_OR_CHECKPOINT, "prompt": …, "options": {…}, "probabilities": 0}
        -> {"id": 1, "part": {"text": …, "tokens": […]}} …  {"id": 1, "result": {…}}
    {"id": 2, "method": "next_tokens", "path": …, "text": …, "count": 10, "options": {…} or null}
        -> {"id": 2, "result": {…}}
    {"id": 3, "method": "complete", "path": …, "before": "the text before the cursor", "rules": {…},
     "from_beginning": true}
        -> {"id": 3, "result": {…}}
    {"id": 4, "method": "inside", "path": …, "text": … …}     and what_if, embedding, neuron, history: the fields that
        -> {"id": 4, "result": {…}}                            `inside.py` and `inside_parts.py` read
    {"id": 1, "method": "cancel"}                              the answer to 1 comes at once, with what there is
    errors: {"id": 1, "error": {"code": …, "message": …, "advice": …}}

The process ends when its standard input does, so it never outlives the one who started it. It steps back behind
training on the same machine: one thread, low priority.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from trickster_engine.system.lifeline import end_with_starter


class Requests:
    """Reads requests in a thread of its own, so that a cancel is heard while a text is being written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, name="read-requests", daemon=True).start()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self._waiting.get()

    def is_cancelled(self, request_id: int) -> bool:
        """Whether a cancel has come for a request."""
        return request_id in self._cancelled

    def done(self, request_id: object) -> None:
        """A request has been answered."""
        if isinstance(request_id, int):
            self._cancelled.discard(request_id)

    def _read(self) -> None:
        for line in self._stream:
            try:
                request = json.loads(line)
                if request["method"] == "cancel":
                    self._cancelled.add(request["id"])
                else:
                    self._waiting.put(request)
            except (ValueError, KeyError, TypeError):
                continue
        os._exit(0)  # whoever started this is gone; nothing here needs an orderly end


def main() -> None:
    """Serve one client. Nothing that may print is loaded before the streams are safe."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's, read when it is loaded
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # what anything else prints must not end up among the answers
    sys.stdout = sys.stderr
    end_with_starter()
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.nice(5)
    reading = Requests(os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n"))
    import torch

    from trickster_engine.inference.answers import Answers

    torch.set_num_threads(1)
    answering = Answers(answers, reading.is_cancelled)
    for request in reading:
        answering.answer(request)
        reading.done(request.get("id"))


if __name__ == "__main__":
    main()
