"""Stands between an editor and the server, passes everything on as it is, and writes down what was said.

`recorder.py LOG COMMAND...`: one JSON object a line: `{"from": "client" | "server", "message": …}`, and last
`{"exit": CODE}`. It adds nothing and holds nothing up, so the editor talks with the real server.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO


class Recorder:
    """The log, written from two threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, entry: object) -> None:
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def pass_on(self, incoming: int, outgoing: IO[bytes], sender: str) -> None:
        """Copy a stream until it ends, and note every whole message in it."""
        kept = b""
        while data := os.read(incoming, 65536):
            outgoing.write(data)
            outgoing.flush()
            kept += data
            while (end := kept.find(b"\r\n\r\n")) >= 0:
                lengths = [line for line in kept[:end].split(b"\r\n") if line.lower().startswith(b"content-length:")]
                length = int(lengths[0].split(b":")[1])
                if len(kept) < end + 4 + length:
                    break
                self.write({"from": sender, "message": json.loads(kept[end + 4 : end + 4 + length])})
                kept = kept[end + 4 + length :]


def pass_signals_on(server: subprocess.Popen[bytes]) -> None:
    for name in ("SIGHUP", "SIGTERM", "SIGINT"):  # as some editors say goodbye
        signal.signal(getattr(signal, name), lambda number, _: server.send_signal(number))


def watch(log: Path, command: list[str]) -> None:
    """Run the server and note how it has ended, also where whoever stands between was killed."""
    server = subprocess.Popen(command)
    pass_signals_on(server)
    code = server.wait()
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"exit": code}) + "\n")
    os._exit(code)


def main() -> None:
    if sys.argv[1] == "--watch":
        watch(Path(sys.argv[2]), sys.argv[3:])
    log = Path(sys.argv[1])
    recorder = Recorder(log)
    command = [sys.executable, __file__, "--watch", str(log), *sys.argv[2:]]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert server.stdin is not None
    assert server.stdout is not None
    outgoing = server.stdin
    pass_signals_on(server)

    def from_client() -> None:
        with contextlib.suppress(OSError):  # the server has ended first
            recorder.pass_on(0, outgoing, "client")
            outgoing.close()

    threading.Thread(target=from_client, daemon=True).start()
    with contextlib.suppress(OSError):  # the editor has closed its end: the server goes on until it is told or notices
        recorder.pass_on(server.stdout.fileno(), sys.stdout.buffer, "server")
    os._exit(server.wait())


if __name__ == "__main__":
    main()
