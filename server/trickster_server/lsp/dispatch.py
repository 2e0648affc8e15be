"""JSON-RPC between the client and the handlers: in which order messages are handled, and what becomes of each.

Requests and notifications are dispatched here, and of pygls only what is public is used: it keeps the features and
commands that are registered, makes the server's capabilities of them, keeps the folders of the workspace, and its typed
methods speak to the client through `notify` and `send_request`. Its own dispatcher is not used, because a client needs
more of one:

- A cancel that comes while its request still waits in line is honoured before any work is done; one that comes too late
  is no cause for a warning. Cancelling a command cancels what the command does.
- Messages of `lsp/messages` are read and written as its dataclasses; a wrong field is answered with "invalid params"
  and the field's name. Only a whole message becomes an object, never a part that happens to have a key "jsonrpc".
- A finished notification leaves nothing behind.
- An error never pops up in the person's face: it is answered, logged, and that is all.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import attrs
import cattrs
from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
)
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol

from trickster_server.lsp import messages
from trickster_server.lsp.client import both_spellings
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.lsp.stdio import Frame
from trickster_server.lsp.wire import WireError, from_wire, to_wire

logger = logging.getLogger(__name__)

MessageId = int | str

#: Handled by pygls first, which keeps the workspace and calls what is registered here on the way.
_KEPT_BY_PYGLS = frozenset({types.INITIALIZE, types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS})


def make_converter() -> cattrs.Converter:
    """The converter between JSON and the protocol's own types."""
    return get_converter(cattrs.Converter(detailed_validation=False))


class RequestError(JsonRpcException):
    """A request that cannot be answered, with one of the codes of `ErrorCode` and a sentence for people."""

    def __init__(self, code: ErrorCode, message: str, data: Any = None) -> None:
        super().__init__(message=message, code=int(code), data=data)


class Dispatcher(LanguageServerProtocol):
    """See the module's documentation. Everything here happens on the event loop."""

    def __init__(self, server: LanguageServer, converter: cattrs.Converter) -> None:
        super().__init__(server, converter)
        self.converter = converter
        self.shut_down = False
        """Whether the client has asked for the end."""
        self.frame_handled: Callable[[], None] = lambda: None
        """Called after each frame, so that the next may be read."""
        self.client_gone: Callable[[], None] = lambda: None
        """Called once everything is handled that the client sent before it closed its end."""
        self._initialized = False
        self._inbox: deque[Frame | None] = deque()
        self._in_line: dict[MessageId, bool] = {}
        """Requests in the inbox, and whether they were cancelled there."""
        self._answering: dict[MessageId, asyncio.Task[Any]] = {}
        self._asked: dict[MessageId, tuple[str, Future[Any]]] = {}
        self._last_asked = 0

    # ---- in line ----------------------------------------------------------------------------------------------------

    def receive(self, frame: Frame | None) -> None:
        """Take a frame, or None for the end of the stream. A cancel overtakes the request it is about."""
        message = frame.message if frame is not None else None
        if isinstance(message, dict):
            if message.get("method") == types.CANCEL_REQUEST and "id" not in message:
                self._cancel(message.get("params"))
                self.frame_handled()
                return
            if "method" in message and _is_id(message.get("id")):
                self._in_line[message["id"]] = False
        self._inbox.append(frame)
        if len(self._inbox) == 1:
            asyncio.get_running_loop().call_soon(self._handle_next)

    def _cancel(self, params: Any) -> None:
        request_id = params.get("id") if isinstance(params, dict) else None
        if not _is_id(request_id):
            return
        if request_id in self._in_line:
            self._in_line[request_id] = True
        elif request_id in self._answering:
            self._answering[request_id].cancel()

    def _handle_next(self) -> None:
        """Handle one frame, then let everything else have its turn before the next."""
        frame = self._inbox[0]
        try:
            if frame is None:
                self.client_gone()
            elif frame.error is not None:
                logger.warning("The client sent %s.", frame.error)
                self._refuse(None, types.ErrorCodes.ParseError, f"Cannot read {frame.error}.")
            elif not isinstance(frame.message, dict):
                self._refuse(None, types.ErrorCodes.InvalidRequest, "A message must be an object.")
            elif "method" in frame.message:
                self._handle_call(frame.message)
            else:
                self._handle_answer(frame.message)
        finally:
            self._inbox.popleft()
            self.frame_handled()
            if self._inbox:
                asyncio.get_running_loop().call_soon(self._handle_next)

    # ---- requests and notifications of the client -------------------------------------------------------------------

    def _handle_call(self, message: dict[str, Any]) -> None:
        request_id, method = message.get("id"), message["method"]
        if "id" in message and not _is_id(request_id):
            words = "The id of a request must be a number or text."
            self._refuse(None, types.ErrorCodes.InvalidRequest, words)
            return
        if request_id is not None and self._in_line.pop(request_id, False):
            self._refuse(request_id, types.LSPErrorCodes.RequestCancelled, "Cancelled before it began.")
            return
        try:
            if message.get("jsonrpc") != self.VERSION:
                raise JsonRpcInvalidRequest("Only JSON-RPC 2.0 is supported.")
            if not isinstance(method, str):
                raise JsonRpcInvalidRequest("The method must be text.")
            self._call(request_id, method, message.get("params"))
        except Exception as error:
            self._failed(request_id, method, error)

    def _call(self, request_id: MessageId | None, method: str, params: Any) -> None:
        if method != types.EXIT and (self.shut_down or self._initialized == (method == types.INITIALIZE)):
            if request_id is None:
                return
            if self.shut_down:
                raise JsonRpcInvalidRequest("The server is shutting down.")
            code = types.ErrorCodes.InvalidRequest if self._initialized else types.ErrorCodes.ServerNotInitialized
            raise JsonRpcException("The first request, and only the first, is initialize.", code=int(code))
        if request_id in self._answering:
            raise JsonRpcInvalidRequest(f"A request with the id {request_id!r} is still being answered.")
        handler = self._handler(method)
        if handler is None:
            if request_id is not None:
                raise JsonRpcMethodNotFound(f"There is no method {method}.")
            if not method.startswith("$/"):
                logger.debug("No handler for the notification %s", method)
            return
        result = handler(self.structured(method, params))
        if asyncio.iscoroutine(result):
            if request_id is None:
                result.close()
                raise JsonRpcInvalidRequest(f"{method} is a request, and needs an id.")
            task = self._answering[request_id] = asyncio.get_running_loop().create_task(result)
            task.add_done_callback(partial(self._answered, request_id, method))
        elif request_id is not None:
            self._send(id=request_id, result=result)

    def _handler(self, method: str) -> Callable[[Any], Any] | None:
        if method == types.SHUTDOWN:
            return self._shut_down
        if method == types.WORKSPACE_EXECUTE_COMMAND:
            return self._run_command
        if method in _KEPT_BY_PYGLS:
            return partial(self._through_pygls, method)
        found: Callable[[Any], Any] | None = self.fm.features.get(method)
        return found

    def _answered(self, request_id: MessageId, method: str, task: asyncio.Task[Any]) -> None:
        del self._answering[request_id]
        if task.cancelled():
            self._refuse(request_id, types.LSPErrorCodes.RequestCancelled, "Cancelled.")
        elif (error := task.exception()) is not None:
            self._failed(request_id, method, error)
        else:
            self._send(id=request_id, result=task.result())

    def _failed(self, request_id: MessageId | None, method: Any, error: BaseException) -> None:
        if not isinstance(error, JsonRpcException):
            logger.error("Handling %s failed", method, exc_info=error)
            error = JsonRpcInternalError(f"The server failed: {type(error).__name__}: {error}")
        elif request_id is None:
            logger.warning("Refused %s: %s", method, error.message)
        if request_id is not None:
            self._send(id=request_id, error=error.to_response_error())

    def _refuse(self, request_id: MessageId | None, code: int, words: str) -> None:
        self._send(id=request_id, error={"code": int(code), "message": words})

    # ---- what pygls and the protocol itself have handlers for -------------------------------------------------------

    def _through_pygls(self, method: str, params: Any) -> Any:
        """Let pygls handle a method. It does so in a generator that names the handlers to call on the way."""
        steps = self.fm.builtin_features[method](params)
        try:
            while True:
                handler, arguments, _ = next(steps)
                handler(*arguments)
        except StopIteration as done:
            self._initialized = True
            return done.value

    def _shut_down(self, _: None) -> None:
        self.shut_down = True
        for task in self._answering.values():
            task.cancel()

    def _run_command(self, params: types.ExecuteCommandParams) -> Any:
        handler = self.fm.commands.get(params.command)
        if handler is None:
            raise JsonRpcInvalidParams(f"There is no command {params.command}.")
        return handler(list(params.arguments or []))

    # ---- to the client ----------------------------------------------------------------------------------------------

    def notify(self, method: str, params: Any | None = None) -> None:
        """Send a notification."""
        self._send(method=method, **({"params": params} if params is not None else {}))

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: MessageId | None = None,
    ) -> Future[Any]:
        """Ask the client. The future ends with the result as lsprotocol has it, or with a JsonRpcException."""
        self._last_asked += 1
        request_id = msg_id if msg_id is not None else f"trickster-{self._last_asked}"
        future: Future[Any] = Future()
        if callback is not None:
            future.add_done_callback(lambda done: callback(done.result()))
        self._asked[request_id] = method, future
        self._send(id=request_id, method=method, **({"params": params} if params is not None else {}))
        return future

    def _handle_answer(self, message: dict[str, Any]) -> None:
        asked = self._asked.pop(message["id"], None) if _is_id(message.get("id")) else None
        if asked is None or asked[1].done():
            return
        method, future = asked
        if "error" in message:
            error = message["error"] if isinstance(message["error"], dict) else {}
            future.set_exception(JsonRpcException(str(error.get("message", ""))))
            return
        try:
            answer = {"jsonrpc": "2.0", "id": 0, "result": message.get("result")}
            kind: Any = types.METHOD_TO_TYPES[method][1]
            future.set_result(self.converter.structure(answer, kind).result)
        except Exception:
            logger.warning("The client's answer has an unexpected form.")
            future.set_result(None)

    # ---- JSON -------------------------------------------------------------------------------------------------------

    def structured(self, method: str, params: Any) -> Any:
        """The params of a message as an object. Raises JsonRpcInvalidParams."""
        if (own := messages.PARAMS_BY_METHOD.get(method)) is not None:
            try:
                return from_wire(own, params if params is not None else {})
            except WireError as error:
                raise JsonRpcInvalidParams(str(error)) from error
        if method == types.INITIALIZE and isinstance(params, dict):
            both_spellings(params.get("capabilities"))
        kind: Any = types.METHOD_TO_TYPES[method][2] if method in types.METHOD_TO_TYPES else None
        if kind is None:
            return params
        try:
            return self.converter.structure(params, kind)
        except RecursionError as error:
            raise JsonRpcInvalidParams("The message is nested too deeply.") from error
        except Exception as error:
            raise JsonRpcInvalidParams(f"The params of {method} do not have the form of the protocol.") from error

    def to_json(self, value: Any) -> str:
        """A value as it goes over the wire."""
        return json.dumps(value, default=self._plain)

    def _plain(self, value: Any) -> Any:
        return self.converter.unstructure(value) if attrs.has(type(value)) else to_wire(value)

    def _send(self, **message: Any) -> None:
        if self.writer is not None:
            self.writer.write(self.to_json({"jsonrpc": self.VERSION, **message}).encode("ascii"))


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)
