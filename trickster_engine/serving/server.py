"""From a model's folder to a server that answers until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
import uvicorn

from trickster_engine.backends.select import check_torch_device
from trickster_engine.errors import TricksterError
from trickster_engine.inference.load import load_model
from trickster_engine.serving.app import App
from trickster_engine.serving.connections import PatientProtocol
from trickster_engine.serving.engine import Engine
from trickster_engine.serving.metrics import Metrics
from trickster_engine.serving.requests import Served
from trickster_engine.system.os_errors import reason

_FINISH_SECONDS = 1
"""What is in flight may end by itself for so long when the server is stopped."""
_SEND_BUFFER = 1 << 17
"""Bytes that the system keeps of what a client has not read; beyond that, it waits in the client's inbox."""


@dataclass(frozen=True)
class Settings:
    """How a model is served."""

    path: Path
    checkpoint: str
    name: str | None
    host: str
    port: int
    token: str
    device: str
    batch: int
    most_tokens: int
    most_requests: int


def serve(settings: Settings, ready: Callable[[str, Path, str], None]) -> None:
    """Serve until Ctrl-C. `ready` is told the model's name, its folder and the address. Raises TricksterError."""
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_torch_device(device)
    listening = _listen(settings.host, settings.port)
    with contextlib.closing(listening):
        model, tokenizer, folder = load_model(settings.path, settings.checkpoint)
        name = settings.name or settings.path.resolve().name
        served = Served(name, tokenizer, model.config.max_seq_len, settings.most_tokens)
        metrics = Metrics()
        engine = Engine(model.to(device), tokenizer.vocab_size, settings.batch, metrics)
        app = App(served, engine, metrics, settings.token, settings.most_requests)
        config = uvicorn.Config(
            app.routes(),
            http=PatientProtocol,
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_FINISH_SECONDS + 1,
        )
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        server = _Server(config, engine, lambda: ready(name, folder, f"http://{shown}:{port}/v1"))
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        engine.start()
        try:
            with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
                server.run(sockets=[listening])
        finally:
            engine.close()
            signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """Says when it listens; when it is stopped, ends what would not end by itself."""

    def __init__(self, config: uvicorn.Config, engine: Engine, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._engine, self._ready = engine, ready
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, _FINISH_SECONDS, self._engine.close)


def _listen(host: str, port: int) -> socket.socket:
    """A socket at an address. Raises TricksterError where that is taken or no address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=256)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        # Whoever is accepted inherits it. asyncio sets it for sockets that name their protocol, which these do not, and
        # without it the end of an answer waits 40 ms for the client to acknowledge its beginning.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, OverflowError) as error:
        said = reason(error) if isinstance(error, OSError) else str(error)
        raise TricksterError(
            "address-unavailable",
            f"Cannot listen at {host}, port {port}: {said}.",
            "Choose another port with --port; 0 takes a free one.",
        ) from error
    return listening
