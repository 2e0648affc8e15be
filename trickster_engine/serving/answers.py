"""What a request is answered with: the objects of OpenAI's completions API."""

from __future__ import annotations

import secrets
import time
from typing import Any

from trickster_engine.serving.continuation import Piece
from trickster_engine.serving.requests import Served, Wanted


class Answer:
    """One request's answer, whole or in chunks; both have the same id and time."""

    def __init__(self, wanted: Wanted, served: Served) -> None:
        self._wanted = wanted
        self._head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": served.name,
        }

    def whole(self, pieces: list[Piece], drawn: int) -> dict[str, Any]:
        """All texts, in the order of the prompts, with `n` of each."""
        choices = [self._choice(number, piece) for number, piece in enumerate(pieces)]
        return {**self._head, "choices": choices, "usage": self._usage(drawn)}

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        """A piece of one text."""
        usage = {"usage": None} if self._wanted.include_usage else {}
        return {**self._head, "choices": [self._choice(number, piece)], **usage}

    def last_chunk(self, drawn: int) -> dict[str, Any]:
        """What `stream_options.include_usage` asks for: a chunk without a text, after all others."""
        return {**self._head, "choices": [], "usage": self._usage(drawn)}

    def _choice(self, number: int, piece: Piece) -> dict[str, Any]:
        logprobs = None
        if self._wanted.logprobs is not None:
            logprobs = {
                "tokens": [one.token for one in piece.chances],
                "token_logprobs": [one.logprob for one in piece.chances],
                "top_logprobs": [one.top for one in piece.chances],
                "text_offset": [one.offset for one in piece.chances],
            }
        return {"text": piece.text, "index": number, "logprobs": logprobs, "finish_reason": piece.finish}

    def _usage(self, drawn: int) -> dict[str, int]:
        read = sum(len(prompt.ids) for prompt in self._wanted.prompts)
        return {"prompt_tokens": read, "completion_tokens": drawn, "total_tokens": read + drawn}


def models(served: Served, created: int) -> dict[str, Any]:
    """The one model that there is."""
    return {"object": "list", "data": [model(served, created)]}


def model(served: Served, created: int) -> dict[str, Any]:
    """How the model is called; its context as vLLM names it."""
    return {
        "id": served.name,
        "object": "model",
        "created": created,
        "owned_by": "trickster",
        "max_model_len": served.context,
    }
