"""Fetch one file over HTTPS: quick to give up without a network, checked against its sum, never half there."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import queue
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from trickster_engine.config.corpus_files import SHAKESPEARE_BYTES
from trickster_engine.data.cache import cache_directory, make_folder, storage_error
from trickster_engine.data.corpus import (
    SHAKESPEARE_FILE,
    SHAKESPEARE_SHA256,
    SHAKESPEARE_URL,
    resolve_corpus,
    shakespeare_advice,
)
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import create_file, temporary_name
from trickster_engine.system.progress_bar import tqdm

CONNECT_TIMEOUT_S = 5.0  # for each step on the network: connecting, and every silence after it
ANSWER_TIMEOUT_S = 10.0  # until the server answers at all; looking up its name does not heed the limit above


def require_shakespeare(*, progress: bool = True) -> None:
    """Download Tiny Shakespeare into the user's cache, unless it is on this machine. Raises TricksterError."""
    try:
        resolve_corpus("shakespeare", Path())
    except TricksterError as error:
        if error.code != "corpus-unavailable":
            raise
        cached = cache_directory() / SHAKESPEARE_FILE
        download(
            SHAKESPEARE_URL,
            cached,
            SHAKESPEARE_SHA256,
            size=SHAKESPEARE_BYTES,
            title="Tiny Shakespeare",
            progress=progress,
        )


def download(url: str, destination: Path, sha256: str, *, size: int, title: str, progress: bool = True) -> None:
    """Save `url` as `destination`, which appears only when it is complete and its SHA-256 sum is `sha256`.

    No more than `size` bytes, its length, are taken from whoever answers.

    Raises TricksterError: corpus-unavailable (no network, refused, broken off), corpus-wrong-sum, disk-full,
    cache-unwritable.
    """
    temporary = destination.with_name(temporary_name(destination.name))
    try:
        make_folder(destination.parent)
        stream = create_file(temporary)
    except OSError as error:
        raise storage_error(error, destination.parent) from error
    try:
        digest = hashlib.sha256()
        with stream, contextlib.closing(_open(url, title)) as response:
            total = int(response.headers.get("Content-Length") or 0) or None
            received = 0
            with tqdm(total=total, desc=title, unit="B", unit_scale=True, disable=not progress) as bar:
                while received <= size and (data := _read(response, url, title)):
                    digest.update(data)
                    stream.write(data)
                    received += len(data)
                    bar.update(len(data))
            if total is not None and received < min(total, size):
                raise _unavailable(url, title, f"the connection ended after {received:,} of {total:,} bytes")
            stream.flush()
            os.fsync(stream.fileno())
        if received > size or digest.hexdigest() != sha256:
            found = f"it is longer than {size:,} bytes" if received > size else f"its SHA-256 is {digest.hexdigest()}"
            raise TricksterError(
                "corpus-wrong-sum",
                f"{url} did not send {title}: {found}. The download was discarded.",
                "A proxy or a login page may have answered instead; open the address in a browser to check. "
                + shakespeare_advice(),
            )
        temporary.replace(destination)
    except OSError as error:
        raise storage_error(error, destination) from error
    finally:
        temporary.unlink(missing_ok=True)


def _open(url: str, title: str) -> Any:
    """Open the address in a thread of its own, because looking up a name can hang far longer than any timeout."""
    answers: queue.Queue[Any] = queue.Queue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=CONNECT_TIMEOUT_S))
        except Exception as error:  # handed to the caller, whatever it is
            answers.put(error)

    threading.Thread(target=ask, daemon=True, name="download").start()
    try:
        answer = answers.get(timeout=ANSWER_TIMEOUT_S)
    except queue.Empty:
        raise _unavailable(url, title, f"no answer within {ANSWER_TIMEOUT_S:.0f} seconds") from None
    if isinstance(answer, urllib.error.HTTPError):
        raise _unavailable(url, title, f"the server answered {answer.code} {answer.reason}")
    if isinstance(answer, urllib.error.URLError):
        raise _unavailable(url, title, str(answer.reason))
    if isinstance(answer, (OSError, http.client.HTTPException, ValueError)):
        raise _unavailable(url, title, str(answer) or type(answer).__name__)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read(response: Any, url: str, title: str) -> bytes:
    try:
        data: bytes = response.read(1 << 16)
        return data
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(url, title, str(error) or type(error).__name__) from error


def _unavailable(url: str, title: str, reason: str) -> TricksterError:
    return TricksterError(
        "corpus-unavailable", f"{title} could not be downloaded from {url}: {reason}.", shakespeare_advice()
    )
