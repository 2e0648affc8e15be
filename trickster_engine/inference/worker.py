"""Keeps a model loaded and writes text with it on demand: `python -m trickster_engine.inference.worker`.

One JSON object a line on standard input, one or more for each on standard output:

    {"id": 1, "method": "generate", "path": RUN_OR_CHECKPOINT, "prompt": …, "options": {…}, "probabilities": 0}
        -> {"id": 1, "part": {"text": …, "tokens": […]}} …  {"id": 1, "result": {…}}
    {"id": 2, "method": "next_tokens", "path": …, "text": …, "count": 10, "options": {…} or null}
        -> {"id": 2, "result": {…}}
    {"id": 1, "method": "cancel"}                              the answer to 1 comes at once, with what there is
    errors: {"id": 1, "error": {"code": …, "message": …, "advice": …}}

The process ends when its standard input does, so it never outlives the one who started it. It steps back behind
training on the same machine: one thread, low priority.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TextIO

from trickster_engine.errors import TricksterError
from trickster_engine.system.attached import end_with_starter

MODELS_KEPT = 2
"""Models held in memory, so that two checkpoints can be compared without reading them over and over."""
PART_SECONDS = 0.03
"""Text is gathered for so long before it is sent on: thirty parts a second read as a stream."""


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

    def done(self, request_id: int) -> None:
        """A request has been answered."""
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


@dataclass
class Loaded:
    """A model in memory."""

    model: Any
    tokenizer: Any
    folder: Path


class Models:
    """The models used last."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[str, int], Loaded] = OrderedDict()

    def get(self, path: Path) -> Loaded:
        """The model of a checkpoint, or of a run's newest one. Raises TricksterError."""
        from trickster_engine.inference.load import checkpoint_folder, load_model
        from trickster_engine.model.config_file import CONFIG_FILE

        folder = checkpoint_folder(path, "latest")
        try:
            # A finished run is trained on, a checkpoint of the same name is written again: the file's time tells.
            key = (str(folder), (folder / CONFIG_FILE).stat().st_mtime_ns)
        except OSError:
            key = (str(folder), 0)
        if key not in self._loaded:
            model, tokenizer, folder = load_model(folder)
            model.eval()
            self._loaded[key] = Loaded(model, tokenizer, folder)
            while len(self._loaded) > MODELS_KEPT:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]


class Worker:
    """Answers requests one after the other."""

    def __init__(self, requests: Requests, answers: TextIO) -> None:
        self._requests = requests
        self._answers = answers
        self._models = Models()

    def run(self) -> None:
        """Answer for as long as requests come."""
        methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "generate": self._generate,
            "next_tokens": self._next_tokens,
        }
        for request in self._requests:
            request_id = request.get("id")
            try:
                self._send({"id": request_id, "result": methods[request["method"]](request)})
            except TricksterError as error:
                self._send(
                    {"id": request_id, "error": {"code": error.code, "message": error.message, "advice": error.advice}}
                )
            except Exception as error:  # one request that fails must not take the loaded models with it
                message = f"{type(error).__name__}: {error}"
                self._send({"id": request_id, "error": {"code": "unexpected", "message": message, "advice": ""}})
            if isinstance(request_id, int):
                self._requests.done(request_id)

    def _send(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _generate(self, request: dict[str, Any]) -> dict[str, Any]:
        from trickster_engine.inference.sampling import encode_prompt, generate

        request_id = int(request["id"])
        path = Path(request["path"])
        loaded = self._models.get(path)
        options = _options(path, loaded.folder, request.get("options") or {})
        prompt = request.get("prompt")
        if prompt is None:
            prompt = _sampling_config(loaded.folder).prompt
        watched = _Watched(loaded.tokenizer, int(request.get("probabilities") or 0))
        began = last_sent = time.monotonic()
        text, waiting, drawn, count = "", "", [], 0
        ids = encode_prompt(loaded.tokenizer, prompt)
        decoder = loaded.tokenizer.stream_decoder(ids)
        cancelled = lambda: self._requests.is_cancelled(request_id)  # noqa: E731 - the name says what it is
        steps = generate(
            loaded.model, [ids], options, cancelled, vocab_size=loaded.tokenizer.vocab_size, watch=watched.keep
        )
        for step in steps:
            token = int(step[0])
            count += 1
            waiting += decoder.feed(token)
            if watched.count:
                drawn.append(watched.describe(token))
            if time.monotonic() - last_sent >= PART_SECONDS:
                self._send({"id": request_id, "part": {"text": waiting, "tokens": drawn}})
                text, waiting, drawn, last_sent = text + waiting, "", [], time.monotonic()
        waiting += decoder.finish()
        if waiting or drawn:
            self._send({"id": request_id, "part": {"text": waiting, "tokens": drawn}})
        return {
            "text": text + waiting,
            "prompt": prompt,
            "checkpoint": str(loaded.folder),
            "step": _step_of(loaded.folder),
            "tokens": count,
            "seconds": time.monotonic() - began,
        }

    def _next_tokens(self, request: dict[str, Any]) -> dict[str, Any]:
        import torch

        from trickster_engine.inference.sampling import (
            GREEDY_BELOW,
            encode_prompt,
            require_numbers,
            shaped_probabilities,
        )

        path = Path(request["path"])
        loaded = self._models.get(path)
        model = loaded.model
        ids = encode_prompt(loaded.tokenizer, request["text"])[-model.config.max_seq_len :]
        with torch.no_grad():
            every = model(torch.tensor([ids], device=model.device))[:, -1, : loaded.tokenizer.vocab_size]
        logits = require_numbers(every.float().cpu())
        believed = logits.softmax(dim=-1)[0]
        shown = believed
        if request.get("options") is not None:
            options = _options(path, loaded.folder, request["options"])
            options = replace(options, temperature=max(options.temperature, GREEDY_BELOW))
            shown = shaped_probabilities(logits, options)[0]
        logs = torch.where(believed > 0, believed.log(), torch.zeros_like(believed))
        return {
            "tokens": _likeliest(shown, int(request["count"]), loaded.tokenizer),
            "checkpoint": str(loaded.folder),
            "entropy": max(float(-(believed * logs).sum()), 0.0),
        }


class _Watched:
    """Keeps the logits that each token was drawn from, while probabilities are asked for."""

    def __init__(self, tokenizer: Any, count: int) -> None:
        self.count = count
        self._tokenizer = tokenizer
        self._logits: Any = None

    def keep(self, logits: Any) -> None:
        """The logits [1, V] of the token that comes next."""
        self._logits = logits[0]

    def describe(self, token: int) -> dict[str, Any]:
        """A drawn token, how likely the model held it, and what it held likelier."""
        probabilities = self._logits.softmax(dim=-1)
        return {
            "id": token,
            "text": self._tokenizer.piece(token),
            "probability": float(probabilities[token]),
            "alternatives": _likeliest(probabilities, self.count, self._tokenizer),
        }


def _likeliest(probabilities: Any, count: int, tokenizer: Any) -> list[dict[str, Any]]:
    top = probabilities.topk(max(1, min(count, len(probabilities))))
    return [
        {"id": int(index), "text": tokenizer.piece(int(index)), "probability": float(probability)}
        for probability, index in zip(top.values, top.indices, strict=True)
        if math.isfinite(float(probability))
    ]


def _sampling_config(folder: Path) -> Any:
    """The `sampling_config` of the run that a checkpoint belongs to; the defaults where it belongs to none.

    Raises TricksterError where the run's config cannot be read.
    """
    from trickster_engine.config.plan import SamplingConfig
    from trickster_engine.runs import RunDirectory, is_run_directory

    run = next((parent for parent in (folder, *folder.parents[:3]) if is_run_directory(parent)), None)
    plan = RunDirectory(run).readable_plan() if run else None
    return plan.sampling if plan is not None else SamplingConfig()


def _options(path: Path, folder: Path, given: dict[str, Any]) -> Any:
    """The run's own sampling options with what the request changes. Raises TricksterError for a value out of range."""
    from trickster_engine.config import set_values
    from trickster_engine.config.check import check
    from trickster_engine.inference.sampling import SamplingOptions

    names = {field.name for field in fields(SamplingOptions)}
    changed = {name: value for name, value in given.items() if name in names and value is not None}
    written = {f"sampling_config.{name}": repr(value) for name, value in changed.items()}
    for problem in check(set_values("", written), None).problems if written else ():
        if problem.severity == "error":
            raise TricksterError(problem.code, problem.message, "Choose a value in that range.")
    return replace(SamplingOptions.from_config(_sampling_config(folder)), **changed)


def _step_of(folder: Path) -> int | None:
    try:
        state = json.loads((folder / "trainer" / "state.json").read_text(encoding="utf-8"))
        return int(state["step"])
    except (OSError, ValueError, KeyError, TypeError):
        digits = folder.name.removeprefix("step-")
        return int(digits) if digits.isdigit() else None


def main() -> int:
    """Serve one client."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    os.dup2(2, 1)  # what anything else prints must not end up among the answers
    sys.stdout = sys.stderr
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8", newline="\n")
    reading = Requests(requests)  # from here on the end of standard input is noticed
    end_with_starter()
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.nice(5)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's, read when it is loaded
    import torch

    torch.set_num_threads(1)
    Worker(reading, answers).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
