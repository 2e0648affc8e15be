"""Runs a command of the engine to its end and reads its answer: prepare, inspect, compare, doctor.

Unlike training, such a process is of no use to anyone once the server is gone. It holds the reading end of a pipe that
closes when the server ends, however it ends, and then ends itself (`trickster_engine.cli.attached`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.errors import printed_error
from trickster_engine.system.programs import ENGINE_FOLDER, python_command
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.runs.interpreter import start_python

_LINE_LIMIT = 1 << 20
_KEPT_LINES = 40
_PROGRESS = " ..."
"""How the engine ends a line that says what it is doing."""
_BELOW_NORMAL = 0x4000
"""Windows' priority class of that name, which Python's subprocess only knows there."""


@dataclass(frozen=True)
class Answer:
    """What a command has printed."""

    data: Any
    """The JSON on its standard output; None where there was none."""
    text: str
    """Its standard output as text."""


async def run_engine(
    python: str,
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    gently: bool = False,
) -> Answer:
    """Run `trickster ARGUMENTS` and wait for it. Cancelling the task ends the process.

    `gently` lets everything else on the machine go first. `on_line` hears what it says that it is doing. Libraries
    write to its standard error too: such lines are kept for the case that it fails, and are no progress.
    Raises RequestError with ENGINE_FAILED or NO_INTERPRETER.
    """
    process = await start_python(
        python_command("trickster_engine.cli.attached", *arguments, python=python),
        cwd=folder or ENGINE_FOLDER,
        limit=_LINE_LIMIT,
        creationflags=_BELOW_NORMAL if gently and sys.platform == "win32" else 0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    if gently and sys.platform != "win32":
        with contextlib.suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, 19)
    complaints: list[str] = []
    try:
        output, _ = await asyncio.gather(process.stdout.read(), listen(process.stderr, complaints, on_line))
        code = await process.wait()
    finally:
        await end(process)
    text = output.decode("utf-8", "replace")
    if code != 0:
        raise engine_failed(complaints, code, {"command": arguments[0]})
    return Answer(_json(text), text)


async def end(process: asyncio.subprocess.Process) -> None:
    """Make sure that a process is gone and collected."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def listen(stream: asyncio.StreamReader, kept: list[str], on_line: Callable[[str], None] | None) -> None:
    """Read lines as they come; a progress bar ends its lines with a carriage return."""
    rest = ""
    while data := await stream.read(4096):
        *lines, rest = (rest + data.decode("utf-8", "replace")).replace("\r", "\n").split("\n")
        for line in lines:
            if line.strip():
                kept.append(line.strip())
                del kept[:-_KEPT_LINES]
                if on_line is not None and line.rstrip().endswith(_PROGRESS):
                    on_line(line.strip())
    if rest.strip():
        kept.append(rest.strip())


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def engine_failed(lines: Sequence[str], exit_code: int | None, about: Mapping[str, Any] | None = None) -> RequestError:
    """The error that a command ended with, from the end of what it printed.

    The engine's own words are `error: … [code]` and the advice on the lines after it; the code goes along, because
    troubleshooting explains it. Where there are no such words, the last lines have to do.
    """
    data = {**(about or {}), "exitCode": exit_code}
    if error := printed_error(lines):
        return RequestError(ErrorCode.ENGINE_FAILED, str(error), {**data, "errorCode": error.code or None})
    words = "\n".join(lines[-6:]) or f"It ended with exit code {exit_code}."
    return RequestError(ErrorCode.ENGINE_FAILED, words, data)
