"""The JSON-RPC layer under the language server: pygls', with the sharp edges taken off.

What differs from `pygls.protocol.LanguageServerProtocol`, and why:

- Messages of `messages.py` are read and written as its dataclasses; a wrong field is answered with "invalid params" and
  the field's name.
- Only a whole message is turned into an object, never a part of one that happens to have a key "jsonrpc".
- A finished notification leaves nothing behind (pygls keeps a future for each).
- A cancel that comes while its request still waits in line is honoured before any work is done; one that comes too late
  is no cause for a warning. Cancelling a command cancels what the command does.
- An error never pops up in the person's face: it is answered, logged, and that is all.
- A text document is kept by us (`documents.py`): it is cut into lines where the protocol says, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import cattrs
from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams, JsonRpcInvalidRequest, JsonRpcMethodNotFound
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    LanguageServerProtocol,
    lsp_method,
)

from trickster_server.lsp import messages
from trickster_server.lsp.client import both_spellings
from trickster_server.lsp.stdio import Frame
from trickster_server.lsp.wire import WireError, from_wire, to_wire

if TYPE_CHECKING:
    from trickster_server.server import TricksterServer

logger = logging.getLogger(__name__)

CommandHandler = Callable[[list[Any]], Coroutine[Any, Any, Any]]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600


def make_converter() -> cattrs.Converter:
    """The converter between JSON and the protocol's own types."""
    return get_converter(cattrs.Converter(detailed_validation=False))


class RequestError(JsonRpcException):
    """A request that cannot be answered, with one of the codes of `messages.ErrorCode` and a sentence for people."""

    CODE = -32803  # RequestFailed
    MESSAGE = "The request failed."

    def __init__(self, code: messages.ErrorCode, message: str, data: Any = None) -> None:
        super().__init__(message=message, code=int(code), data=data)


class TricksterProtocol(LanguageServerProtocol):
    """See the module's documentation."""

    _server: TricksterServer

    def __init__(self, server: TricksterServer, converter: cattrs.Converter) -> None:
        super().__init__(server, converter)
        self.commands: dict[str, CommandHandler] = {}
        self._notification_ids = itertools.count()
        self._inbox: deque[Frame] = deque()
        self._inbox_lock = threading.Lock()
        self._waiting_ids: set[int | str] = set()
        self._cancelled_ids: set[int | str] = set()
        self._pump_running = False
        self.frame_handled: Callable[[], None] = lambda: None

    # ---- from the reading thread to the loop ------------------------------------------------------------------------

    def deliver(self, frame: Frame, loop: asyncio.AbstractEventLoop) -> None:
        """Take a frame from the reading thread. A cancel overtakes the request it is about."""
        message = frame.message
        with self._inbox_lock:
            if isinstance(message, dict):
                if message.get("method") == types.CANCEL_REQUEST and self._cancel_waiting(message.get("params")):
                    self.frame_handled()
                    return
                request_id = message.get("id")
                if "method" in message and isinstance(request_id, (int, str)):
                    self._waiting_ids.add(request_id)
            self._inbox.append(frame)
            if self._pump_running:
                return
            self._pump_running = True
        with contextlib.suppress(RuntimeError):  # the loop has ended; nobody is left to answer
            loop.call_soon_threadsafe(self._pump)

    def has_more(self) -> bool:
        """Whether messages have come that were not handled yet."""
        with self._inbox_lock:
            return bool(self._inbox)

    def was_shut_down(self) -> bool:
        """Whether the client has asked for the end."""
        return bool(self._shutdown)

    def _cancel_waiting(self, params: Any) -> bool:
        request_id = params.get("id") if isinstance(params, dict) else None
        if isinstance(request_id, (int, str)) and request_id in self._waiting_ids:
            self._cancelled_ids.add(request_id)
            return True
        return False

    def _pump(self) -> None:
        """Handle one frame, then let everything else have its turn before the next."""
        with self._inbox_lock:
            if not self._inbox:
                self._pump_running = False
                return
            frame = self._inbox.popleft()
        try:
            self._handle_frame(frame)
        finally:
            self.frame_handled()
            asyncio.get_running_loop().call_soon(self._pump)

    def _handle_frame(self, frame: Frame) -> None:
        if frame.error is not None:
            logger.warning("The client sent %s.", frame.error)
            self._refuse(None, PARSE_ERROR, f"Cannot read {frame.error}.")
            return
        message = frame.message
        if not isinstance(message, dict):
            self._refuse(None, INVALID_REQUEST, "A message must be an object.")
            return
        request_id = message.get("id")
        if "id" in message and (not isinstance(request_id, (int, str)) or isinstance(request_id, bool)):
            if "method" in message:
                self._refuse(None, INVALID_REQUEST, "The id of a request must be a number or text.")
            return
        if "method" in message:
            if request_id is not None and self._was_cancelled(request_id):
                self._refuse(request_id, types.LSPErrorCodes.RequestCancelled, "Cancelled before it began.")
                return
            if not isinstance(message["method"], str):
                self._refuse(request_id, INVALID_REQUEST, "The method must be text.")
                return
        self._handle_object(message, request_id)

    def _was_cancelled(self, request_id: int | str) -> bool:
        with self._inbox_lock:
            self._waiting_ids.discard(request_id)
            if request_id in self._cancelled_ids:
                self._cancelled_ids.discard(request_id)
                return True
        return False

    def _handle_object(self, message: dict[str, Any], request_id: int | str | None) -> None:
        try:
            self._dispatch(self.structure_message(message), request_id)
        except JsonRpcException as error:
            logger.warning("Refused %s: %s", message.get("method", "a response"), error.message)
            if request_id is not None and "method" in message:
                self._refuse(request_id, error.code or INVALID_REQUEST, error.message)
        except Exception:
            logger.exception("Could not handle %s", message.get("method", "a response"))
            if request_id is not None and "method" in message:
                self._refuse(request_id, types.ErrorCodes.InternalError, "The server could not handle this message.")

    def _dispatch(self, message: Any, request_id: int | str | None) -> None:
        method = getattr(message, "method", None)
        # Each handler has a context of its own, which is where pygls keeps the id of the request being answered.
        context = contextvars.copy_context()
        if method is None:
            error = getattr(message, "error", None)
            context.run(self._handle_response, message.id, getattr(message, "result", None), error)
        elif method == types.EXIT:
            self._server.exit_requested(0 if self._shutdown else 1)
        elif request_id is None:
            if self._workspace is not None and not self._shutdown:
                context.run(self._handle_notification, method, message.params)
        elif self._shutdown:
            self._refuse(request_id, INVALID_REQUEST, "The server is shutting down.")
        elif (self._workspace is None) == (method != types.INITIALIZE):
            code = types.ErrorCodes.ServerNotInitialized if self._workspace is None else INVALID_REQUEST
            self._refuse(request_id, code, "The first request, and only the first, is initialize.")
        else:
            context.run(self._handle_request, request_id, method, message.params)

    def _refuse(self, request_id: int | str | None, code: int, message: str) -> None:
        # lsprotocol's ResponseErrorMessage insists on fields that an answer to nobody does not have.
        error = {"code": int(code), "message": message}
        self._send_data({"jsonrpc": "2.0", "id": request_id, "error": error})

    # ---- messages to objects ----------------------------------------------------------------------------------------

    def structure_message(self, data: dict[str, Any]) -> Any:
        """One whole message as an object. Raises JsonRpcInvalidParams, JsonRpcInvalidRequest."""
        if data.get("jsonrpc") != self.VERSION:
            raise JsonRpcInvalidRequest("Only JSON-RPC 2.0 is supported.")
        method = data.get("method")
        if method is None:
            if "error" in data:
                return self._error_response(data)
            return JsonRPCResponseMessage(id=data.get("id"), jsonrpc="2.0", result=self._result_from(data))  # type: ignore[arg-type]
        params: Any = data.get("params")
        if (own := messages.PARAMS_BY_METHOD.get(method)) is not None:
            try:
                params = from_wire(own, params if params is not None else {})
            except WireError as error:
                raise JsonRpcInvalidParams(str(error)) from error
        elif (message_type := self.get_message_type(method)) is not None:
            params = self._standard_params(message_type, data)
        if "id" in data:
            return JsonRPCRequestMessage(id=data["id"], method=method, jsonrpc="2.0", params=params)
        return JsonRPCNotification(method=method, jsonrpc="2.0", params=params)

    def _standard_params(self, message_type: type[Any], data: dict[str, Any]) -> Any:
        if data.get("method") == types.INITIALIZE and isinstance(params := data.get("params"), dict):
            both_spellings(params.get("capabilities"))
        try:
            return self._converter.structure(data, message_type).params
        except RecursionError as error:
            raise JsonRpcInvalidParams("The message is nested too deeply.") from error
        except Exception as error:
            raise JsonRpcInvalidParams(
                f"The params of {data.get('method')} do not have the form of the protocol."
            ) from error

    def _result_from(self, data: dict[str, Any]) -> Any:
        result = data.get("result")
        result_type = self._result_types.pop(data.get("id"), None)  # type: ignore[arg-type]
        if result_type is None:
            return result
        try:
            return self._converter.structure({"jsonrpc": "2.0", "id": 0, "result": result}, result_type).result
        except Exception:
            logger.warning("The client's answer has an unexpected form.")
            return None

    def _error_response(self, data: dict[str, Any]) -> types.ResponseErrorMessage:
        error = data["error"] if isinstance(data["error"], dict) else {}
        code = error.get("code")
        return types.ResponseErrorMessage(
            jsonrpc="2.0",
            id=data.get("id"),
            error=types.ResponseError(
                code=code if isinstance(code, int) else types.ErrorCodes.InternalError.value,
                message=str(error.get("message", "")),
            ),
        )

    def notify(self, method: str, params: Any | None = None) -> None:
        """Send a notification; our own messages go out with the names of the wire."""
        if method in messages.PARAMS_BY_METHOD:
            self._send_data({"jsonrpc": "2.0", "method": method, "params": to_wire(params)})
        else:
            super().notify(method, params)

    # ---- what pygls leaves behind -----------------------------------------------------------------------------------

    def _handle_notification(self, method_name: str, params: Any) -> None:
        if method_name == types.CANCEL_REQUEST:
            self._handle_cancel_notification(params.id)
            return
        try:
            handler = self._get_handler(method_name)
        except JsonRpcMethodNotFound:
            if not method_name.startswith("$/"):
                logger.debug("No handler for the notification %s", method_name)
            return
        message_id = f"notification-{next(self._notification_ids)}"
        self._execute_handler(
            msg_id=message_id,
            handler=handler,
            args=(params,),
            callback=partial(self._notification_done, message_id, method_name),
        )

    def _notification_done(self, message_id: str, method: str, future: Future[Any]) -> None:
        self._request_futures.pop(message_id, None)
        if not future.cancelled() and (error := future.exception()) is not None:
            if isinstance(error, SystemExit):
                raise error
            logger.error("Handling %s failed", method, exc_info=error)

    def _handle_cancel_notification(self, msg_id: int | str) -> None:
        future = self._request_futures.pop(msg_id, None)
        if future is not None:
            future.cancel()

    def _handle_request(self, msg_id: int | str, method_name: str, params: Any) -> None:
        try:
            handler = self._get_handler(method_name)
        except JsonRpcMethodNotFound:
            self._refuse(msg_id, types.ErrorCodes.MethodNotFound, f"There is no method {method_name}.")
            return
        if msg_id in self._request_futures:
            self._refuse(msg_id, INVALID_REQUEST, f"A request with the id {msg_id!r} is still being answered.")
            return
        self._ctx_msg_id.set(msg_id)
        self._execute_handler(
            msg_id=msg_id, handler=handler, args=(params,), callback=partial(self._send_handler_result, msg_id=msg_id)
        )

    def _send_handler_result(self, future: Future[Any], *, msg_id: int | str) -> None:
        self._request_futures.pop(msg_id, None)
        if future.cancelled():
            self._refuse(msg_id, types.LSPErrorCodes.RequestCancelled, "Cancelled.")
            return
        error = future.exception()
        if error is None:
            self._send_response(msg_id, result=to_wire(future.result()))
        elif isinstance(error, JsonRpcException):
            self._send_response(msg_id, error=error.to_response_error())
        else:
            logger.error("Answering a request failed", exc_info=error)
            self._refuse(msg_id, types.ErrorCodes.InternalError, f"The server failed: {type(error).__name__}: {error}")

    def _handle_response(self, msg_id: int | str, result: Any = None, error: types.ResponseError | None = None) -> None:
        future = self._request_futures.pop(msg_id, None)
        if future is None or future.done():
            return
        if error is not None:
            future.set_exception(JsonRpcException.from_error(error))
        else:
            future.set_result(result)

    # ---- commands ---------------------------------------------------------------------------------------------------

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """Run a command; a coroutine, so that cancelling the request cancels the command."""
        handler = self.commands.get(params.command)
        if handler is None:
            raise JsonRpcInvalidParams(f"There is no command {params.command}.")
        return to_wire(await handler(list(params.arguments or [])))

    # ---- documents --------------------------------------------------------------------------------------------------

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Keep the text."""
        self._server.document_opened(params.text_document)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Change the text."""
        self._server.document_changed(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Forget the text."""
        self._server.document_closed(params.text_document.uri)

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> None:
        """Cancel the work behind a progress the client shows."""
        self._server.progress_bars.cancel(params.token)

    def to_json(self, value: Any) -> str:
        """A value as it goes over the wire."""
        return json.dumps(value, default=self._serialize_message)

    def _serialize_message(self, data: Any) -> Any:
        if attrs.has(type(data)):
            return self._converter.unstructure(data)
        return super()._serialize_message(to_wire(data))
