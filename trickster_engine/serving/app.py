"""The addresses of the server: who may ask, what is answered, and clients that are slow or leave."""

from __future__ import annotations

import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from trickster_engine.serving import answers
from trickster_engine.serving.api_error import ApiError
from trickster_engine.serving.continuation import Continuation, Piece
from trickster_engine.serving.engine import Engine, Job
from trickster_engine.serving.inbox import Inbox
from trickster_engine.serving.metrics import Metrics
from trickster_engine.serving.requests import Served, Wanted, read_request

MOST_BYTES = 1 << 20
"""A larger request is refused: of a text, the model sees no more than its context."""
_BODY_SECONDS = 30
_STALLED_SECONDS = 60
"""A client that takes nothing for so long is dropped. Until then it waits alone: nobody waits for it."""
_LONG_BODY = 1 << 14  # bytes from which tokenizing is worth a thread

Handler = Callable[[Request], Awaitable[Response]]


class App:
    """Answers requests from what the engine makes."""

    def __init__(self, served: Served, engine: Engine, metrics: Metrics, token: str, most_requests: int) -> None:
        self._served, self._engine, self._metrics = served, engine, metrics
        self._token = token.encode()
        self._most_requests = most_requests
        self._open = 0
        self._created = int(time.time())

    def routes(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self._health),
                Route("/metrics", self._guarded(self._figures)),
                Route("/v1/models", self._guarded(self._models)),
                Route("/v1/models/{name:path}", self._guarded(self._model)),
                Route("/v1/completions", self._guarded(self._completions), methods=["POST"]),
            ],
            exception_handlers={
                ApiError: _refused,
                HTTPException: _refused_by_starlette,
                ClientDisconnect: _left,
                Exception: _failed,
            },
        )

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                message = "Incorrect API key provided: it is the token that the server was started with."
                raise ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
            return await handler(request)

        return guarded

    async def _health(self, _request: Request) -> Response:
        if not self._engine.works:
            return JSONResponse({"status": "failed"}, 503)
        return JSONResponse({"status": "ok"})

    async def _figures(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _models(self, _request: Request) -> Response:
        return JSONResponse(answers.models(self._served, self._created))

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name != self._served.name:
            raise ApiError(404, f"The model '{name[:200]}' does not exist", "model_not_found", "model")
        return JSONResponse(answers.model(self._served, self._created))

    async def _completions(self, request: Request) -> Response:
        if self._open >= self._most_requests:
            message = f"{self._open} requests are open already. Try again when some of them are answered."
            raise ApiError(429, message, "rate_limit_exceeded", kind="requests", headers={"Retry-After": "1"})
        exchange = _Exchange(self._metrics, self._closed)
        self._open += 1
        try:
            body = await _body(request)
            read = partial(read_request, body, self._served)
            wanted = await run_sync(read) if len(body) > _LONG_BODY else read()
            exchange.begin(wanted, self._served, self._engine)
        except BaseException as error:
            exchange.close(str(error.status) if isinstance(error, ApiError) else "cancelled")
            raise
        return exchange

    def _closed(self) -> None:
        self._open -= 1


class _Exchange(Response):
    """A completion on its way to its client. However it ends, its texts leave the model's batch with it."""

    def __init__(self, metrics: Metrics, closed: Callable[[], None]) -> None:
        self._metrics, self._closed = metrics, closed
        self._began = time.monotonic()
        self._job: Job | None = None
        self.background = None
        metrics.opened()

    def begin(self, wanted: Wanted, served: Served, engine: Engine) -> None:
        """Have the engine work on it. Raises ApiError."""
        self._wanted, self._engine = wanted, engine
        self._answer = answers.Answer(wanted, served)
        self._texts = [
            Continuation(
                prompt,
                replace(wanted.options, seed=wanted.options.seed + number),
                wanted.max_tokens,
                wanted.stops,
                served.tokenizer,
                served.context,
                wanted.logprobs,
                wanted.echo,
            )
            for prompt in wanted.prompts
            for number in range(wanted.n)
        ]
        self._inbox = Inbox(len(self._texts))
        job = Job(self._texts, self._inbox.put, wanted.stream)
        engine.submit(job)
        self._job = job

    def close(self, status: str) -> None:
        """It is over."""
        if self._job is not None:
            self._engine.cancel(self._job)
        self._metrics.closed(status, time.monotonic() - self._began)
        self._closed()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves first."""
        status = "cancelled"
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                with contextlib.suppress(TimeoutError):
                    status = await (self._stream(send) if self._wanted.stream else self._whole(scope, receive, send))
                group.cancel_scope.cancel()
        finally:
            self.close(status)

    async def _pieces(self) -> AsyncIterator[dict[int, Piece]]:
        is_first = True
        while pieces := await self._inbox.fetch():
            if is_first:
                self._metrics.first_text(time.monotonic() - self._began)
            is_first = False
            yield pieces

    @property
    def _drawn(self) -> int:
        return sum(text.count for text in self._texts)

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> str:
        texts: dict[int, Piece] = {}
        response: Response
        status = 200
        try:
            async for pieces in self._pieces():
                texts.update(pieces)
            response = JSONResponse(self._answer.whole([texts[number] for number in sorted(texts)], self._drawn))
        except ApiError as error:
            status, response = error.status, _of_error(error)
        with anyio.fail_after(_STALLED_SECONDS):
            await response(scope, receive, send)
        return str(status)

    async def _stream(self, send: Send) -> str:
        """Server-sent events: a chunk for each piece, then `[DONE]`."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        status = "200"

        async def say(*parts: str, more: bool = True) -> None:
            data = "".join(f"data: {part}\n\n" for part in parts).encode()
            message: Message = {"type": "http.response.body", "body": data, "more_body": more}
            with anyio.fail_after(_STALLED_SECONDS):
                await send(message)

        try:
            async for pieces in self._pieces():
                await say(*(_json(self._answer.chunk(number, piece)) for number, piece in pieces.items()))
            last = [_json(self._answer.last_chunk(self._drawn))] if self._wanted.include_usage else []
            await say(*last, "[DONE]", more=False)
        except ApiError as error:
            status = str(error.status)
            await say(_json(error.body), more=False)
        return status


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _body(request: Request) -> bytes:
    """What a client sends. Raises ApiError where that is too much, or takes too long."""
    too_large = ApiError(413, f"The request is larger than {MOST_BYTES:,} bytes.", "request_too_large")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MOST_BYTES:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise too_large
    except TimeoutError:
        raise ApiError(408, f"The request did not come within {_BODY_SECONDS} seconds.", "timeout") from None
    return bytes(body)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _of_error(error: ApiError) -> Response:
    return JSONResponse(error.body, error.status, error.headers)


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _of_error(error)


def _refused_by_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    message = {404: f"There is nothing at {path}.", 405: f"{path} does not take {request.method}."}
    said = message.get(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    return _of_error(ApiError(error.status_code, said, {404: "not_found"}.get(error.status_code), headers=headers))


def _left(_request: Request, _error: Exception) -> Response:
    return Response()  # nobody is there to read it


def _failed(_request: Request, _error: Exception) -> Response:
    return _of_error(ApiError(500, "The server failed; its terminal says why.", kind="server_error"))
