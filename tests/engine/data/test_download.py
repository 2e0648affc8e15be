"""Downloading, against real servers on this machine that behave well and badly."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trickster_engine.data import download as download_module
from trickster_engine.data.download import download
from trickster_engine.errors import TricksterError

BODY = b"Now is the winter of our discontent\n" * 5000
SUM = hashlib.sha256(BODY).hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[: len(BODY) // 2] if self.path == "/broken-off" else BODY)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def _error(url: str, destination: Path, sha256: str = SUM) -> TricksterError:
    with pytest.raises(TricksterError) as caught:
        download(url, destination, sha256, size=len(BODY), title="A play", progress=False)
    return caught.value


def test_the_file_arrives_whole(server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    destination = tmp_path / "new" / "play.txt"
    download(f"{server}/play", destination, SUM, size=len(BODY), title="A play", progress=True)
    assert destination.read_bytes() == BODY
    assert [path.name for path in destination.parent.iterdir()] == ["play.txt"]
    assert "A play" in capsys.readouterr().err  # the bar


@pytest.mark.parametrize("progress", [True, False])
def test_what_breaks_off_is_not_kept(server: str, tmp_path: Path, progress: bool) -> None:
    destination = tmp_path / "play.txt"
    destination.write_text("the old copy")
    with pytest.raises(TricksterError, match=r"ended after|IncompleteRead") as caught:
        download(f"{server}/broken-off", destination, SUM, size=len(BODY), title="A play", progress=progress)
    assert caught.value.code == "corpus-unavailable"
    assert destination.read_text() == "the old copy"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_wrong_sum_is_not_kept(server: str, tmp_path: Path) -> None:
    error = _error(f"{server}/play", tmp_path / "play.txt", "0" * 64)
    assert error.code == "corpus-wrong-sum" and SUM in error.message
    assert list(tmp_path.iterdir()) == []


def test_the_servers_refusal_is_passed_on(server: str, tmp_path: Path) -> None:
    error = _error(f"{server}/missing", tmp_path / "play.txt")
    assert error.code == "corpus-unavailable" and "404" in error.message
    assert "TRICKSTER_CORPUS_DIR" in error.advice


def test_no_server(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        error = _error(f"http://127.0.0.1:{taken.getsockname()[1]}/", tmp_path / "play.txt")
    assert error.code == "corpus-unavailable"


def test_a_server_that_never_answers_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = _error(f"http://127.0.0.1:{silent.getsockname()[1]}/", tmp_path / "play.txt")
    assert error.code == "corpus-unavailable" and "timed out" in error.message


def test_a_name_that_never_resolves_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "ANSWER_TIMEOUT_S", 0.2)
    released = threading.Event()

    def never(*_: object, **__: object) -> None:
        released.wait(30)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", never)
    begun = time.perf_counter()
    error = _error("http://somewhere.invalid/", tmp_path / "play.txt")
    released.set()
    assert error.code == "corpus-unavailable" and "no answer" in error.message
    assert time.perf_counter() - begun < 5


def test_a_place_that_cannot_be_written(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert _error(f"{server}/play", tmp_path / "file" / "play.txt").code == "cache-unwritable"
