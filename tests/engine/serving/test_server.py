"""What clients do that should not trouble others: wait, leave, send nonsense, come in crowds; and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.serving.conftest import CONTEXT, MOST_REQUESTS, TOKEN, Server, serving
from trickster_engine.cli import main
from trickster_engine.serving.app import MOST_BYTES
from trickster_engine.serving.requests import MOST_ECHOED
from trickster_engine.serving.server import _listen

pytestmark = pytest.mark.xdist_group("serve")
PLAIN = {"model": "tiny", "prompt": "ROMEO:", "max_tokens": 3}


@contextmanager
def connection(server: Server, body: dict[str, Any], unsent: int = 0) -> Iterator[socket.socket]:
    """A connection of few bytes' room with a request on it, of which the last bytes are not sent."""
    with socket.socket() as plug:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plug.settimeout(120)
        plug.connect(server.address)
        sent = json.dumps(body).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        )
        plug.sendall(head.encode() + sent[: len(sent) - unsent])
        yield plug


def received(plug: socket.socket) -> str:
    parts = []
    while part := plug.recv(1 << 16):
        parts.append(part)
    return b"".join(parts).decode()


def test_a_client_that_does_not_read_holds_nobody_and_loses_nothing(server: Server) -> None:
    """Its answer is far more than the buffers on the way hold."""
    long = {**PLAIN, "n": 8, "max_tokens": 400, "logprobs": 5, "seed": 1}
    before = server.figure("trickster_requests_open")
    with connection(server, {**long, "stream": True}) as stalled, server.http() as client:
        stalled.recv(100)
        for number in range(20):
            assert client.post("/completions", json={**PLAIN, "seed": number}).status_code == 200
        server.wait_until("trickster_texts_running", 0)  # the model is done with it, and it still has not read
        assert server.figure("trickster_requests_open") == before + 1
        answer = client.post("/completions", json=long).json()
        text = received(stalled)
        # What it had not fetched came in few large pieces, none of them lost.
        events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        assert "data: [DONE]" in text and len(events) < 8 * 400
        got: dict[int, str] = {}
        for event in events:
            for choice in event["choices"]:
                got[choice["index"]] = got.get(choice["index"], "") + choice["text"]
        assert all(answer["choices"][index]["text"].endswith(got[index]) for index in range(8))
    server.wait_until("trickster_requests_open", before)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_takes_its_work_along(server: Server, stream: bool) -> None:
    cancelled = 'trickster_requests_total{status="cancelled"}'
    before, drawn = server.figure(cancelled), server.figure("trickster_generated_tokens_total")
    with connection(server, {**PLAIN, "n": 128, "max_tokens": 4096, "stream": stream}):
        while server.figure("trickster_texts_running") == 0:
            pass
    server.wait_until("trickster_texts_running", 0)
    server.wait_until("trickster_texts_waiting", 0)
    server.wait_until(cancelled, before + 1)
    assert server.figure("trickster_generated_tokens_total") - drawn < 128 * 4096


def test_more_requests_than_are_allowed_are_told_to_come_again(server: Server) -> None:
    with server.http() as client:
        with ExitStack() as others:
            for _ in range(MOST_REQUESTS):  # each is open from its head on
                others.enter_context(connection(server, PLAIN, unsent=1))
            server.wait_until("trickster_requests_open", MOST_REQUESTS)
            answer = client.post("/completions", json=PLAIN)
            assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
            assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        server.wait_until("trickster_requests_open", 0)
        assert client.post("/completions", json=PLAIN).status_code == 200


BAD: list[tuple[dict[str, Any], int, str | None, str | None]] = [
    ({"model": None}, 400, "model", "missing_required_parameter"),
    ({"model": 3}, 400, "model", "invalid_type"),
    ({"model": "other"}, 404, "model", "model_not_found"),
    ({"model": "\ud800"}, 404, "model", "model_not_found"),
    ({"\ud800": 1}, 400, "?", "unknown_parameter"),
    ({"frobnicate": 1}, 400, "frobnicate", "unknown_parameter"),
    ({"frequency_penalty": 0.5}, 400, "frequency_penalty", "unsupported_parameter"),
    ({"best_of": 2}, 400, "best_of", "unsupported_parameter"),
    ({"prompt": []}, 400, "prompt", "empty_array"),
    ({"prompt": ["a", 3]}, 400, "prompt", "invalid_type"),
    ({"prompt": {"a": 3}}, 400, "prompt", "invalid_type"),
    ({"prompt": [65, 256]}, 400, "prompt", "invalid_value"),
    ({"prompt": [-1]}, 400, "prompt", "invalid_value"),
    ({"prompt": [True]}, 400, "prompt", "invalid_type"),
    ({"prompt": ""}, 400, "prompt", "prompt-empty"),
    ({"prompt": "\ud800"}, 400, "prompt", "not-text"),
    ({"prompt": ["a"] * 129}, 400, "prompt", "invalid_value"),
    ({"prompt": ["a"] * 65, "n": 2}, 400, "n", "invalid_value"),
    ({"prompt": "a" * (CONTEXT + 1), "echo": True, "logprobs": 1}, 400, "prompt", "context_length_exceeded"),
    ({"prompt": "a" * (MOST_ECHOED // 128 + 1), "echo": True, "n": 128}, 400, "echo", "invalid_value"),
    ({"max_tokens": -1}, 400, "max_tokens", "integer_below_min_value"),
    ({"max_tokens": 4097}, 400, "max_tokens", "integer_above_max_value"),
    ({"max_tokens": 1.5}, 400, "max_tokens", "invalid_type"),
    ({"max_tokens": True}, 400, "max_tokens", "invalid_type"),
    ({"temperature": "hot"}, 400, "temperature", "invalid_type"),
    ({"temperature": float("nan")}, 400, "temperature", "decimal_above_max_value"),
    ({"top_p": -0.1}, 400, "top_p", "decimal_below_min_value"),
    ({"n": 0}, 400, "n", "integer_below_min_value"),
    ({"logprobs": 6}, 400, "logprobs", "integer_above_max_value"),
    ({"seed": 2**63}, 400, "seed", "integer_above_max_value"),
    ({"stop": list("abcde")}, 400, "stop", "array_above_max_length"),
    ({"stop": ["a", ""]}, 400, "stop", "empty_string"),
    ({"stop": 3}, 400, "stop", "invalid_type"),
    ({"stream": "yes"}, 400, "stream", "invalid_type"),
    ({"stream_options": {"include_usage": True}}, 400, "stream_options", "invalid_value"),
]


def test_bad_requests_get_the_apis_own_errors(server: Server) -> None:
    with server.http() as client:
        for change, status, param, code in BAD:
            answer = client.post("/completions", content=json.dumps({**PLAIN, **change}))
            error = answer.json()["error"]
            assert (answer.status_code, error["param"], error["code"]) == (status, param, code), change
            assert error["message"] and error["type"] == "invalid_request_error"
        for body in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"n":' + b"9" * 5000 + b"}"):
            answer = client.post("/completions", content=body)
            assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error", body[:20]
        for content in (b" " * (MOST_BYTES + 1), iter([b" " * MOST_BYTES, b" "])):
            answer = client.post("/completions", content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
        for path, status in (("/nothing", 404), ("/models/other", 404), ("/completions", 405)):
            answer = client.get(path)
            assert answer.status_code == status and answer.json()["error"]["message"]
        root = server.base_url.removesuffix("/v1")
        client.headers.pop("Authorization")
        for given in (
            b"",
            b"Bearer",
            f"Basic {TOKEN}".encode(),
            f"Bearer {TOKEN}x".encode(),
            b"Bearer \xe9",
        ):
            for method, path in (("GET", "/v1/models"), ("POST", "/v1/completions"), ("GET", "/metrics")):
                answer = client.request(method, root + path, headers=[(b"authorization", given)] if given else None)
                assert answer.status_code == 401 and answer.json()["error"]["code"] == "invalid_api_key", given
        assert client.get(root + "/health").json() == {"status": "ok"}


def test_other_machines_need_a_token_and_a_taken_port_is_said(
    server: Server, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRICKSTER_SERVE_TOKEN", raising=False)
    assert main(["serve", str(run), "--host", "0.0.0.0"]) == 2
    assert "token-missing" in capsys.readouterr().err
    assert main(["serve", str(run), "--token", "two words"]) == 2
    assert main(["serve", str(run), "--port", str(server.address[1])]) == 1
    assert "address-unavailable" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["serve", str(run)]) == 1
    assert "uvicorn" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C for another process there")
def test_control_c_ends_what_is_in_flight(run: Path) -> None:
    with serving(run) as server, connection(server, {**PLAIN, "n": 8, "max_tokens": 4096, "stream": True}) as stream:
        stream.recv(100)
        with connection(server, {**PLAIN, "n": 128, "max_tokens": 4096}) as waiting:
            while server.figure("trickster_texts_waiting") == 0:
                pass
            server.process.send_signal(signal.SIGINT)
            assert "server_stopping" in received(stream)
            assert "503" in received(waiting).partition("\r\n")[0]
        assert server.process.wait(60) == 0
        assert server.process.stdout is not None and server.process.stdout.read().endswith("Stopped.\n")


def test_the_server_cuts_off_who_says_nothing_and_answers_the_others(run: Path) -> None:
    with serving(run, head_seconds=0.5) as one:
        with socket.create_connection(one.address, timeout=30) as silent:
            assert silent.recv(1) == b""  # closed, and not after the time of this socket
        with one.http() as client:
            assert client.get("/models").status_code == 200


def test_an_answer_does_not_wait_for_the_client_to_acknowledge_its_beginning() -> None:
    with _listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
