"""Where a client's pieces wait for it, between the model's thread and the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading

from trickster_engine.serving.api_error import ApiError
from trickster_engine.serving.continuation import Piece


class Inbox:
    """The pieces of one request's texts. What a slow client has not fetched grows together into one piece a text.

    So the model never waits for a client, and a client costs no more memory than its own answer, which is limited.
    """

    def __init__(self, texts: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._lock = threading.Lock()
        self._pieces: dict[int, Piece] = {}
        self._refusal: ApiError | None = None
        self._unfinished = texts

    def put(self, number: int, piece: Piece | ApiError) -> None:
        """Take a piece of a text, from the model's thread."""
        with self._lock:
            is_told = bool(self._pieces) or self._refusal is not None
            if isinstance(piece, ApiError):
                self._refusal = piece
            else:
                self._pieces.setdefault(number, Piece()).extend(piece)
        if not is_told:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
                self._loop.call_soon_threadsafe(self._news.set)

    async def fetch(self) -> dict[int, Piece]:
        """What has come since, by number of the text; nothing when all are finished. Raises ApiError."""
        if self._unfinished == 0:
            return {}
        pieces: dict[int, Piece] = {}
        while not pieces:
            await self._news.wait()
            self._news.clear()
            with self._lock:
                pieces, self._pieces = self._pieces, {}
                if self._refusal is not None:
                    raise self._refusal
        self._unfinished -= sum(piece.finish is not None for piece in pieces.values())
        return pieces
