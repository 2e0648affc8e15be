"""A process that scans and encodes shards, one of several beside one another.

It reads one job a line on its standard input and answers with one line each, JSON both ways; the other side is
`worker_pool.py`. It ends when its input does, so that it does not outlive the process that started it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trickster_engine.data.cache import storage_error
from trickster_engine.data.corpus import Reading
from trickster_engine.data.dataset import storage_type
from trickster_engine.data.document_choice import PARTS, chosen
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.scan import hashed, scan
from trickster_engine.data.sharded.layout import Shard, Span, read_shard_bytes, read_shard_text
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import create_file, open_plain, sync_file, temporary_name

_HASHED_BYTES = 1 << 20
_tokenizers: dict[str, Tokenizer] = {}


def main() -> None:
    """Answer jobs until there are no more."""
    # An interrupt from the keyboard goes to every process of the terminal; the one that started this one deals with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is one such process for each core already
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin:
            job = json.loads(line)
            answer: dict[str, Any]
            try:
                answer = {"done": _JOBS[job["do"]](job)}
            except TricksterError as error:
                answer = {"error": [error.code, error.message, error.advice, error.exit_code]}
            _say(answer)


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _scan(job: dict[str, Any]) -> dict[str, Any]:
    """Read a shard once: whether it is text, how long it is, and what identifies it."""
    reading = Reading(**job["reading"])
    text = read_shard_text(_shard(job), reading=reading)
    return vars(scan(_told(text), job["alphabet"], not reading.is_stream))


def _encode(job: dict[str, Any]) -> dict[str, Any]:
    """Write the tokens of a shard's characters `begin` to before `end` (None: all the rest) to a file.

    Of a shard of documents, those that its `choice` gives to the part.
    """
    reading = Reading(**job["reading"])
    tokenizer = _tokenizer(job["tokenizer"])
    path, begin, end = Path(job["path"]), job["begin"], job["end"]
    dtype = storage_type(tokenizer.vocab_size)
    text, digest = hashlib.sha256(), hashlib.sha256()
    tokens = 0
    temporary = path.with_name(temporary_name(path.name))
    try:
        with create_file(temporary) as stream:
            if tokenizer.kind == "byte" and begin == 0 and end is None and reading.is_stream and not reading.lf:
                # The text is the tokens; that it is text was seen when it was scanned, and that it still is the same
                # text is seen from its sum.
                for data in read_shard_bytes(_shard(job)):
                    text.update(data)
                    stream.write(data)
                    tokens += len(data)
                    _say({"bytes": len(data)})
                digest = text
            else:
                whole = _told(hashed(read_shard_text(_shard(job), reading=reading), text))
                if reading.is_stream:
                    wanted = _between(whole, begin, end)
                else:
                    wanted = chosen(whole, job["choice"], PARTS.index(job["part"]))
                for block in tokenizer.encode_stream(wanted, documents=not reading.is_stream):
                    compact = np.ascontiguousarray(block, dtype=dtype)
                    stream.write(compact.data)
                    digest.update(compact.data)
                    tokens += len(compact)
        sync_file(temporary)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(error, path.parent) from error
    finally:
        temporary.unlink(missing_ok=True)
    characters = (job["characters"] if end is None else end) - begin
    return {"text": text.hexdigest(), "sha256": digest.hexdigest(), "tokens": tokens, "characters": characters}


def _check(job: dict[str, Any]) -> dict[str, Any]:
    """Return the sum of a file of tokens; None where it is not there or cannot be read."""
    digest = hashlib.sha256()
    try:
        with open_plain(Path(job["path"])) as stream:
            while data := stream.read(_HASHED_BYTES):
                digest.update(data)
    except OSError:
        return {"sha256": None}
    return {"sha256": digest.hexdigest()}


_JOBS = {"scan": _scan, "encode": _encode, "check": _check}


def _shard(job: dict[str, Any]) -> Shard:
    return tuple(Span.from_json(values) for values in job["shard"])


def _tokenizer(directory: str) -> Tokenizer:
    if directory not in _tokenizers:
        _tokenizers[directory] = load_tokenizer(Path(directory))
    return _tokenizers[directory]


def _told(chunks: Iterable[str]) -> Iterator[str]:
    """Pass text on, and say of each chunk when it has been worked on."""
    for chunk in chunks:
        yield chunk
        _say({"bytes": len(chunk.encode("utf-8"))})


def _between(chunks: Iterable[str], begin: int, end: int | None) -> Iterator[str]:
    """Yield the characters from `begin` to before `end`, and consume the rest all the same."""
    at = 0
    for chunk in chunks:
        stop = len(chunk) if end is None else max(0, end - at)
        if piece := chunk[max(0, begin - at) : stop]:
            yield piece
        at += len(chunk)


if __name__ == "__main__":
    main()
