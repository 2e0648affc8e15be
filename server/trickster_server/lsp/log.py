"""The server's log, sent to the client, where people look for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from trickster_engine.system.printable import printable

_LEVELS = (
    (logging.ERROR, types.MessageType.Error),
    (logging.WARNING, types.MessageType.Warning),
    (logging.INFO, types.MessageType.Info),
)


class ClientLog(logging.Handler):
    """Sends records as `window/logMessage`. Until the client has said hello they go to standard error instead.

    Never to both: an editor shows what comes on standard error as well, and takes each line there for an error.
    """

    def __init__(self, server: LanguageServer) -> None:
        super().__init__(level=logging.INFO)
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending = False
        self._others: list[logging.Handler] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the place of the handlers that are there. The client must have asked to be initialized."""
        root = logging.getLogger()
        self._loop = loop
        if self not in root.handlers:
            self._others, root.handlers[:] = list(root.handlers), [self]
        logging.getLogger("trickster_server").setLevel(logging.INFO)

    def remove(self) -> None:
        """Give the place back: what is said from here on goes to standard error again."""
        root = logging.getLogger()
        if self in root.handlers:
            root.handlers[:] = self._others
            logging.getLogger("trickster_server").setLevel(logging.NOTSET)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, from whatever thread it comes."""
        if self._loop is None or self._sending:
            return
        with contextlib.suppress(Exception):
            text = printable(self.format(record))  # names and errors may hold anything
            kind = next((kind for level, kind in _LEVELS if record.levelno >= level), types.MessageType.Log)
            self._loop.call_soon_threadsafe(self._send, kind, text)

    def _send(self, kind: types.MessageType, text: str) -> None:
        # A failure to send is logged too; that record must not be sent in turn.
        self._sending = True
        try:
            self._server.window_log_message(types.LogMessageParams(type=kind, message=text))
        finally:
            self._sending = False
