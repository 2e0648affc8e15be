"""What the generation worker answers: text as it is drawn, or the likeliest next tokens, from models in memory."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.completion import Completer, Rules
from trickster_engine.inference.inside import inside, what_if
from trickster_engine.inference.inside_parts import embedding, history, neuron
from trickster_engine.inference.resident import loaded, newest, step_of
from trickster_engine.inference.sampling import (
    SamplingOptions,
    encode_prompt,
    generate,
    require_numbers,
    shaped_probabilities,
)
from trickster_engine.inference.settings import sampling_settings
from trickster_engine.model.huggingface import GREEDY_BELOW

PART_SECONDS = 0.03
"""Text is gathered for so long before it is sent on: thirty parts a second read as a stream."""
_INSIDE = {"inside": inside, "what_if": what_if, "embedding": embedding, "neuron": neuron, "history": history}


@lru_cache(maxsize=1)
def _completer(folder: Path, modified_ns: int) -> tuple[Completer, int | None]:
    """It holds what was read for the last text, so that the next key costs only what is new. And its step."""
    held = loaded(folder)
    return Completer(held.model, held.tokenizer), step_of(folder)


class Answers:
    """Answers one request after the other."""

    def __init__(self, answers: TextIO, is_cancelled: Callable[[int], bool]) -> None:
        self._answers = answers
        self._is_cancelled = is_cancelled

    def answer(self, request: dict[str, Any]) -> None:
        """Do what a request asks for, and say how it went."""
        methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "generate": self._generate,
            "next_tokens": self._next_tokens,
            "complete": self._complete,
            **{name: partial(self._look, look) for name, look in _INSIDE.items()},
        }
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

    def _send(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _generate(self, request: dict[str, Any]) -> dict[str, Any]:
        request_id = int(request["id"])
        held = loaded(Path(request["path"]))
        sampling = sampling_settings(Path(request["path"]), request.get("options") or {})
        options = SamplingOptions.from_config(sampling)
        prompt = request.get("prompt")
        if prompt is None:
            prompt = sampling.prompt
        shown = int(request.get("probabilities") or 0)
        logits: deque[Tensor] = deque(maxlen=1)  # [1, V], what the last token was drawn from
        began = last_sent = time.monotonic()
        text, waiting, count = "", "", 0
        drawn: list[dict[str, Any]] = []
        ids = encode_prompt(held.tokenizer, prompt)
        decoder = held.tokenizer.stream_decoder(ids)
        cancelled = partial(self._is_cancelled, request_id)
        end = held.tokenizer.end_id
        steps = generate(
            held.model,
            [ids],
            options,
            cancelled,
            vocab_size=held.tokenizer.vocab_size,
            end=end,
            watch=logits.append,
        )
        finish = "length"
        for step in steps:
            token = int(step[0])
            if token == end:
                finish = "document"
                break
            count += 1
            waiting += decoder.feed(token)
            if shown:
                probabilities = logits[0][0].softmax(dim=-1)
                drawn.append(
                    {
                        "id": token,
                        "text": held.tokenizer.piece(token),
                        "probability": float(probabilities[token]),
                        "alternatives": _likeliest(probabilities, shown, held.tokenizer),
                    }
                )
            if time.monotonic() - last_sent >= PART_SECONDS:
                self._send({"id": request_id, "part": {"text": waiting, "tokens": drawn}})
                text, waiting, drawn, last_sent = text + waiting, "", [], time.monotonic()
        waiting += decoder.finish()
        if waiting or drawn:
            self._send({"id": request_id, "part": {"text": waiting, "tokens": drawn}})
        return {
            "text": text + waiting,
            "prompt": prompt,
            "checkpoint": str(held.folder),
            "step": step_of(held.folder),
            "tokens": count,
            "finish_reason": "cancelled" if finish == "length" and cancelled() else finish,
            "seconds": time.monotonic() - began,
        }

    def _next_tokens(self, request: dict[str, Any]) -> dict[str, Any]:
        held = loaded(Path(request["path"]))
        model = held.model
        ids = encode_prompt(held.tokenizer, request["text"])[-model.config.max_seq_len :]
        with torch.no_grad():
            every = model(torch.tensor([ids], device=model.device))[:, -1, : held.tokenizer.vocab_size]
        logits = require_numbers(every.float().cpu())
        believed = logits.softmax(dim=-1)[0]
        shown = believed
        if request.get("options") is not None:
            options = SamplingOptions.from_config(sampling_settings(Path(request["path"]), request["options"]))
            options = replace(options, temperature=max(options.temperature, GREEDY_BELOW))
            shown = shaped_probabilities(logits, options)[0]
        logs = torch.where(believed > 0, believed.log(), torch.zeros_like(believed))
        return {
            "tokens": _likeliest(shown, int(request["count"]), held.tokenizer),
            "checkpoint": str(held.folder),
            "entropy": max(float(-(believed * logs).sum()), 0.0),
        }

    def _look(self, look: Callable[..., dict[str, Any]], request: dict[str, Any]) -> dict[str, Any]:
        cancelled = partial(self._is_cancelled, int(request["id"]))
        if cancelled():  # a slider has moved on while it waited in line
            raise TricksterError("cancelled", "Cancelled before it began.", "")
        return look(request, cancelled)

    def _complete(self, request: dict[str, Any]) -> dict[str, Any]:
        folder, modified_ns = newest(Path(request["path"]))
        cancelled = partial(self._is_cancelled, int(request["id"]))
        completer, step = _completer(folder, modified_ns)
        began = time.monotonic()
        text = completer.complete(
            request["before"],
            Rules(**request["rules"]),
            cancelled,
            from_beginning=request.get("from_beginning", True),
        )
        return {"text": text, "checkpoint": str(folder), "step": step, "seconds": time.monotonic() - began}


def _likeliest(probabilities: Tensor, count: int, tokenizer: Tokenizer) -> list[dict[str, Any]]:
    top = probabilities.topk(max(1, min(count, len(probabilities))))
    return [
        {"id": int(index), "text": tokenizer.piece(int(index)), "probability": float(probability)}
        for probability, index in zip(top.values, top.indices, strict=True)
        if math.isfinite(float(probability))
    ]
