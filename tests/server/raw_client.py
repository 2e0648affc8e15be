"""A language client of bare bytes: for what a well-behaved client never sends, and for timing without a library."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVER = [sys.executable, "-m", "trickster_server"]
MOST_CLIENTS = {
    "textDocument": {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix"]}}}}
}
"""What every client in use declares; one that declares nothing at all is given `{}`."""


class RawClient:
    """Starts a server and talks to it over its standard input and output."""

    def __init__(
        self,
        command: list[str] | None = None,
        env: dict[str, str] | None = None,
        capabilities: dict[str, Any] | None = None,
        **popen: Any,
    ) -> None:
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command or SERVER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            **popen,
        )
        self.capabilities: dict[str, Any] = MOST_CLIENTS if capabilities is None else capabilities
        self.notifications: queue.Queue[dict[str, Any]] = queue.Queue()
        self.log: list[dict[str, Any]] = []
        #: What a request of the server's is answered with, by its method; null where nothing stands here.
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.stderr = b""
        self._answers: dict[Any, dict[str, Any]] = {}
        self._arrived = threading.Condition()
        self._next_id = 0
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()

    # ---- sending ----------------------------------------------------------------------------------------------------

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message: Any) -> None:
        body = json.dumps(message).encode("utf-8")
        self.send_bytes(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def begin(self, method: str, params: Any = None) -> int:
        self._next_id += 1
        self.send({"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params})
        return self._next_id

    def wait(self, request_id: Any, timeout: float = 20.0) -> dict[str, Any]:
        with self._arrived:
            if not self._arrived.wait_for(lambda: request_id in self._answers or self._closed, timeout):
                raise TimeoutError(f"no answer to {request_id!r} within {timeout} s")
            if request_id not in self._answers:
                raise ConnectionError("the server has ended: " + self.stderr.decode("utf-8", "replace")[-2000:])
            return self._answers.pop(request_id)

    def request(self, method: str, params: Any = None, timeout: float = 20.0) -> Any:
        answer = self.wait(self.begin(method, params), timeout)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def initialize(self, folder: Path | None = None, options: Any = None, process_id: int | None = None) -> Any:
        """Say hello. The folder is trusted unless the options say otherwise."""
        uri = folder.as_uri() if folder is not None else None
        result = self.request(
            "initialize",
            {
                "processId": process_id if process_id is not None else os.getpid(),
                "rootUri": uri,
                "workspaceFolders": [{"uri": uri, "name": "w"}] if uri else None,
                "capabilities": self.capabilities,
                "initializationOptions": {"trusted": True, "notifications": True, **(options or {})},
            },
        )
        self.notify("initialized", {})
        return result

    def open(self, uri: str, text: str, version: int = 1) -> None:
        self.notify(
            "textDocument/didOpen",
            {"textDocument": {"uri": uri, "languageId": "yaml", "version": version, "text": text}},
        )

    def change(self, uri: str, version: int, changes: list[dict[str, Any]]) -> None:
        self.notify(
            "textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}
        )

    # ---- receiving --------------------------------------------------------------------------------------------------

    def notification(self, method: str, timeout: float = 20.0) -> Any:
        """The params of the next notification of this kind; others that come before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.notifications.get(timeout=max(deadline - time.monotonic(), 0.001))
            if message["method"] == method:
                return message["params"]

    def errors(self) -> list[str]:
        """What the server has logged as an error, to the client or to standard error."""
        logged = [entry["message"] for entry in self.log if entry["type"] == 1]
        text = self.stderr.decode("utf-8", "replace")
        return logged + ([text] if "Traceback" in text or "ERROR" in text else [])

    def _read(self) -> None:
        assert self.process.stdout is not None
        stream = self.process.stdout
        while True:
            length = -1
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if length < 0:
                break
            self._take(json.loads(stream.read(length)))
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message and "id" in message:
            answer = self.answers.get(message["method"])
            result = answer(message.get("params")) if answer else None
            self.send({"jsonrpc": "2.0", "id": message["id"], "result": result})
        elif "method" in message:
            if message["method"] == "window/logMessage":
                self.log.append(message["params"])
            self.notifications.put(message)
        else:
            with self._arrived:
                self._answers[message.get("id")] = message
                self._arrived.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        while data := os.read(self.process.stderr.fileno(), 65536):
            self.stderr += data

    # ---- ending -----------------------------------------------------------------------------------------------------

    def shutdown(self) -> int:
        self.request("shutdown")
        self.notify("exit")
        return self.process.wait(10)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
