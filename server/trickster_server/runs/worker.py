"""The process that keeps a model warm and writes with it: the other end of `trickster_engine.inference.worker`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

from trickster_engine.system.programs import python_command
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.runs.engine_process import end, listen
from trickster_server.runs.interpreter import start_python

logger = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
"""A worker nobody has asked for so long is ended, and its memory given back."""
_LINE_LIMIT = 16 << 20

Part = Callable[[dict[str, Any]], None]

_NO_CHECKPOINT = frozenset({"checkpoint-missing", "not-a-run"})


class GenerationWorker:
    """One process in one interpreter. Started when it is first asked, and again if it has died."""

    def __init__(self, python: str) -> None:
        self.python = python
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[dict[str, Any]], Part]] = {}
        self._starting = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def ask(self, method: str, params: dict[str, Any], on_part: Part = lambda part: None) -> dict[str, Any]:
        """Ask and wait. Cancelling the task makes the worker stop writing. Raises RequestError."""
        await self._start()
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._waiting[number] = (answer, on_part)
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            await self._send({"id": number, "method": method, **params})
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(RequestError):
                await self._send({"id": number, "method": "cancel"})
            raise
        finally:
            self._waiting.pop(number, None)
            if not self._waiting:
                self._idle = loop.call_later(IDLE_SECONDS, self._rest)

    async def close(self) -> None:
        """End the process."""
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None:
            await end(process)
        if self._listening is not None:
            await asyncio.gather(self._listening, return_exceptions=True)

    def _rest(self) -> None:
        if not self._waiting and self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # its input ends, so it does
            self._process = None

    async def _start(self) -> None:
        async with self._starting:
            if self._process is not None and self._process.returncode is None:
                return
            command = python_command("trickster_engine.inference.worker", python=self.python)
            self._process = await start_python(command, limit=_LINE_LIMIT)
            self._listening = asyncio.get_running_loop().create_task(self._listen(self._process))

    async def _send(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise RequestError(ErrorCode.ENGINE_FAILED, "The generation process has ended. Try again.")
        try:
            process.stdin.write(json.dumps(message).encode("ascii") + b"\n")
            await process.stdin.drain()
        except (ConnectionError, RuntimeError) as error:
            raise RequestError(ErrorCode.ENGINE_FAILED, "The generation process has ended. Try again.") from error

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        complaints: list[str] = []
        complaining = asyncio.get_running_loop().create_task(listen(process.stderr, complaints, None))
        while line := await process.stdout.readline():
            try:
                self._take(json.loads(line))
            except ValueError:
                logger.warning("The generation process printed something unexpected: %s", line[:200])
        await process.wait()
        await complaining
        for answer, _ in list(self._waiting.values()):
            if not answer.done():
                why = complaints[-1] if complaints else f"exit code {process.returncode}"
                answer.set_exception(
                    RequestError(ErrorCode.ENGINE_FAILED, f"The generation process has ended ({why}). Try again.")
                )

    def _take(self, message: dict[str, Any]) -> None:
        answer, on_part = self._waiting.get(message.get("id", 0), (None, None))
        if answer is None or on_part is None or answer.done():
            return  # of a request that was cancelled
        if "part" in message:
            on_part(message["part"])
        elif "error" in message:
            error = message["error"]
            code = ErrorCode.NO_CHECKPOINT if error["code"] in _NO_CHECKPOINT else ErrorCode.ENGINE_FAILED
            words = "\n".join(text for text in (error["message"], error["advice"]) if text)
            answer.set_exception(RequestError(code, words, error))
        else:
            answer.set_result(message["result"])
