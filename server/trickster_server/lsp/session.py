"""One client: what it has declared and allowed, how it is spoken to, and what is done for it beside its requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from trickster_server.lsp.client import Client
from trickster_server.lsp.messages.options import InitializationOptions
from trickster_server.lsp.wire import options_from_wire
from trickster_server.paths import path_of

logger = logging.getLogger(__name__)


class Session:
    """What every room may know of the client."""

    def __init__(self, server: LanguageServer) -> None:
        self.server = server
        """pygls' server, for its typed requests and notifications."""
        self.options = InitializationOptions()
        self.client = Client()
        self.trusted = False
        """Nothing is started, written or removed before the client has said so."""
        self.when_figures_change: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, params: types.InitializeParams) -> list[str]:
        """Take over what the client says of itself. Returns what is wrong with its options."""
        self.options, wrong = options_from_wire(InitializationOptions, params.initialization_options)
        self.client = Client.of(params.capabilities, self.options)
        self.trusted = self.options.trusted
        return wrong

    def folders(self) -> list[Path]:
        """The folders of the workspace that are on this machine."""
        workspace = self.server.workspace
        uris = [folder.uri for folder in workspace.folders.values()] or [workspace.root_uri or ""]
        return [path for uri in uris if (path := path_of(uri)) is not None]

    # ---- to the client ----------------------------------------------------------------------------------------------

    def show_message(self, kind: types.MessageType, words: str) -> None:
        """Say something to the person."""
        self.server.window_show_message(types.ShowMessageParams(kind, words))

    def say(self, words: str) -> None:
        """Tell the person how things stand."""
        self.show_message(types.MessageType.Info, words)

    def notify(self, method: str, params: object) -> None:
        """Send one of our own notifications, where the client has asked for them."""
        if self.client.notifications:
            self.server.protocol.notify(method, params)

    def send_partial(self, token: int | str, value: object) -> None:
        """Send a part of a result that the client has asked to be streamed."""
        self.server.protocol.notify(types.PROGRESS, {"token": token, "value": value})

    def refresh_figures(self) -> None:
        """Have shown again what depends on more than the text: lenses, inlay hints, diagnostics."""
        if self.client.refreshes_lenses:
            self.server.workspace_code_lens_refresh(None)
        if self.client.refreshes_hints:
            self.server.workspace_inlay_hint_refresh(None)
        for listener in self.when_figures_change:
            listener()

    # ---- beside the requests ----------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Do something beside the requests. An error ends in the log, not in silence."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The background task %s failed", task.get_name(), exc_info=error)

    async def end(self) -> None:
        """End everything that was spawned."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
