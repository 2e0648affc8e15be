"""`$/progress` for long work, with a cancel that works."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Report = Callable[[str, "int | None"], None]
"""Says what is going on: a line, and per cent where they are known."""


class ProgressTokens:
    """The progress bars that the client shows for us."""

    def __init__(self, server: TricksterServer) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._work: dict[types.ProgressToken, asyncio.Task[object]] = {}

    async def show(
        self,
        title: str,
        token: types.ProgressToken | None,
        work: Callable[[Report], Awaitable[Result]],
        *,
        ask_client: bool = True,
        cancellable: bool = True,
    ) -> Result:
        """Do `work` while the client shows a progress bar.

        `token` is the one the client has sent with its request; without one, the client is asked to make a bar, if it
        can and `ask_client` says so. Cancelling there cancels the work, and the request is answered with "cancelled";
        work that is not `cancellable` goes on.
        """
        shown = await self._token(token) if token is not None or ask_client else None
        if shown is None:
            return await work(lambda message, percentage: None)

        def report(message: str, percentage: int | None) -> None:
            self._send(
                shown,
                types.WorkDoneProgressReport(message=message[:200], percentage=percentage, cancellable=cancellable),
            )

        self._send(shown, types.WorkDoneProgressBegin(title=title, cancellable=cancellable))
        task: asyncio.Task[Result] = asyncio.ensure_future(_as_coroutine(work(report)))
        if cancellable:
            self._work[shown] = task
        ending = ""
        try:
            return await task
        except asyncio.CancelledError:
            ending = "Cancelled"
            if not task.cancelled():  # the request was cancelled, not the bar
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                raise
            raise JsonRpcException("Cancelled.", code=int(types.LSPErrorCodes.RequestCancelled)) from None
        finally:
            self._work.pop(shown, None)
            self._send(shown, types.WorkDoneProgressEnd(message=ending or None))

    def cancel(self, token: types.ProgressToken) -> None:
        """The person has pressed cancel on a progress bar."""
        task = self._work.get(token)
        if task is not None:
            task.cancel()

    async def _token(self, given: types.ProgressToken | None) -> types.ProgressToken | None:
        if given is not None:
            return given
        if not self._server.client.shows_progress:
            return None
        token = f"trickster-{next(self._numbers)}"
        try:
            params = types.WorkDoneProgressCreateParams(token=token)
            await asyncio.wait_for(self._server.window_work_done_progress_create_async(params), 2.0)
        except (JsonRpcException, asyncio.TimeoutError):
            logger.info("The client shows no progress bar.")
            return None
        return token

    def _send(
        self,
        token: types.ProgressToken,
        value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd,
    ) -> None:
        # A value of any type is allowed there, so pygls would send its Python names.
        plain = self._server.protocol._converter.unstructure(value)
        self._server.protocol.notify(types.PROGRESS, types.ProgressParams(token=token, value=plain))


async def _as_coroutine(work: Awaitable[Result]) -> Result:
    return await work
