"""`$/progress` for long work, with a cancel that works."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from trickster_server.lsp.session import Session

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
Report = Callable[[str, "int | None"], None]
"""Says what is going on: a line, and per cent where they are known."""


class ProgressTokens:
    """The progress bars that the client shows for us."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._numbers = itertools.count(1)
        self._work: dict[types.ProgressToken, asyncio.Task[object]] = {}

    async def show(
        self,
        title: str,
        token: types.ProgressToken | None,
        work: Callable[[Report], Coroutine[Any, Any, Result]],
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
            self._session.send_partial(
                shown,
                types.WorkDoneProgressReport(message=message[:200], percentage=percentage, cancellable=cancellable),
            )

        self._session.send_partial(shown, types.WorkDoneProgressBegin(title=title, cancellable=cancellable))
        task = asyncio.get_running_loop().create_task(work(report))
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
            self._session.send_partial(shown, types.WorkDoneProgressEnd(message=ending or None))

    def cancel(self, token: types.ProgressToken) -> None:
        """The person has pressed cancel on a progress bar."""
        task = self._work.get(token)
        if task is not None:
            task.cancel()

    async def _token(self, given: types.ProgressToken | None) -> types.ProgressToken | None:
        if given is not None:
            return given
        if not self._session.client.shows_progress:
            return None
        token = f"trickster-{next(self._numbers)}"
        try:
            params = types.WorkDoneProgressCreateParams(token=token)
            await asyncio.wait_for(self._session.server.window_work_done_progress_create_async(params), 2.0)
        except (JsonRpcException, asyncio.TimeoutError):
            logger.info("The client shows no progress bar.")
            return None
        return token
