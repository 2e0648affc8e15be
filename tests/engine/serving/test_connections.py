"""Connections that hold a server's files without saying what they want."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from trickster_engine.serving import connections
from trickster_engine.serving.connections import PatientProtocol

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def serve_to(client: Callable[[Callable[[], Awaitable[Streams]]], Awaitable[None]]) -> None:
    """Have a client talk to a server whose answers take longer than it waits for heads."""

    async def slow(_: Request) -> PlainTextResponse:
        await asyncio.sleep(3 * connections.HEAD_SECONDS)
        return PlainTextResponse("late")

    async def both() -> None:
        app = Starlette(routes=[Route("/", slow)])
        server = uvicorn.Server(uvicorn.Config(app, http=PatientProtocol, port=0, log_level="error", lifespan="off"))
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            await client(lambda: asyncio.open_connection("127.0.0.1", port))
        finally:
            server.should_exit = True
            await running

    asyncio.run(asyncio.wait_for(both(), 60))


@pytest.mark.parametrize("said", [b"", HEAD[:5], HEAD], ids=["nothing", "a verb", "half a head"])
def test_who_does_not_say_what_is_wanted_is_cut_off(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    async def client(connect: Callable[[], Awaitable[Streams]]) -> None:
        reader, writer = await connect()
        writer.write(said)
        assert await reader.read() == b""

    serve_to(client)


def test_a_second_head_is_not_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """And an answer may take as long as it takes."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)

    async def client(connect: Callable[[], Awaitable[Streams]]) -> None:
        reader, writer = await connect()
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"late")).startswith(b"HTTP/1.1 200")
        writer.write(HEAD)
        assert await reader.read() == b""

    serve_to(client)
