"""Alerts on their way out of a run: to a webhook that the config names, to a command that the command line names.

Both are sent from a thread of their own, with a limit of time, so that training never waits for them; what fails is
handed to `failed`. A config names no command: whoever trains somebody else's config would run somebody else's program.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, RunIdentity
from trickster_engine.runs.event_types import Event
from trickster_engine.system.loopback import is_loopback
from trickster_engine.training.alerts import ALERT
from trickster_engine.training.recorder import Watcher

_WEBHOOK_SECONDS = 10.0
_COMMAND_SECONDS = 60.0
#: Alerts that wait to be sent; more than so many say nothing new.
_MOST_WAITING = 100
#: How long the end of a run waits for its last alerts.
_LAST_SECONDS = 5.0

Alert = dict[str, Any]


class AlertSender(Watcher):
    """Hands each alert of a run to `send`, one after the other, in a thread."""

    def __init__(self, send: Callable[[Alert], None]) -> None:
        self._send = send
        self._run: dict[str, str] = {}
        self._step = 0
        self._waiting: queue.Queue[Alert | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None

    def ready(self, run: RunDirectory, plan: Plan, identity: RunIdentity) -> None:
        """Training is about to begin."""
        self._run = {"run": run.id, "path": str(run.path), "host": identity.host}

    def event(self, event: Event) -> None:
        """Something was written down."""
        if event["kind"] == "step":
            self._step = event["step"]
        if event["kind"] != "warning" or not event["code"].startswith(ALERT):
            return
        words = {name: event[name] for name in ("t", "code", "message", "advice")}
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait({**self._run, "step": self._step, **words})
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="send-alerts", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """The run has ended: wait some seconds for what is still to be sent."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)
            self._thread.join(_LAST_SECONDS)

    def _work(self) -> None:
        while (alert := self._waiting.get()) is not None:
            try:
                self._send(alert)
            except (OSError, URLError, HTTPException, ValueError, subprocess.SubprocessError) as error:
                # Named without its address, which may hold a secret.
                with contextlib.suppress(OSError):
                    print(f"An alert was not sent: {type(error).__name__}", file=sys.stderr, flush=True)


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """An address that was checked is not left for one that was not."""


def webhook_sender(address: str) -> AlertSender:
    """Sends each alert to an address, as JSON in a POST request."""
    proxies = [ProxyHandler({})] if is_loopback(urlsplit(address).hostname or "") else []
    opener = build_opener(_NoRedirects, *proxies)

    def send(alert: Alert) -> None:
        body = json.dumps(alert).encode("ascii")
        request = Request(address, body, {"Content-Type": "application/json", "User-Agent": "trickster"})
        with opener.open(request, timeout=_WEBHOOK_SECONDS):
            pass

    return AlertSender(send)


def command_sender(written: str) -> AlertSender:
    """Runs a command at each alert, without a shell, with the alert as JSON on its standard input.

    Raises TricksterError where there is no such program.
    """
    command = command_of(written)

    def send(alert: Alert) -> None:
        given = json.dumps(alert).encode("ascii")
        subprocess.run(
            command,
            input=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            check=True,
        )

    return AlertSender(send)


def command_of(written: str) -> Sequence[str]:
    """A command line as arguments, its program by its whole path. Raises TricksterError."""
    try:
        parts = shlex.split(written, posix=sys.platform != "win32")
    except ValueError:
        parts = []
    program = shutil.which(parts[0]) if parts else None
    if program is None:
        raise TricksterError(
            "alert-command-missing",
            f"There is no program to run for --on-alert {written!r}.",
            "Name a program on the PATH and its arguments, as one text: --on-alert 'notify-send Trickster'. It gets "
            "the alert as JSON on its standard input.",
        )
    return [program, *parts[1:]]
