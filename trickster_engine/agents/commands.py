"""Runs a command of the command line to its end for an agent, and reads the JSON that it prints.

It is a process of its own, so that no model is loaded here and nothing waits for it; it ends with this one.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream

from trickster_engine.errors import TricksterError, printed_error
from trickster_engine.system.programs import ENGINE_FOLDER, engine_environment, python_command

SECONDS = 1800.0
"""How long a command may take: measuring a large model on a slow machine takes minutes."""
_OUTPUT_BYTES = 8 << 20
_KEPT_BYTES = 16_000
_PROGRESS = " ..."
"""How a command ends a line that says what it is doing."""

Say = Callable[[str], Awaitable[None]]


async def run_command(arguments: Sequence[str], say: Say | None = None, seconds: float = SECONDS) -> Any:
    """Run `trickster ARGUMENTS` and return the JSON it prints, also with exit code 1 where it prints some.

    `say` hears what the command says that it is doing. Cancelling ends the process. Raises TricksterError.
    """
    command = python_command("trickster_engine.cli.attached", *arguments)
    pipe = subprocess.PIPE
    output, complaints = bytearray(), bytearray()
    process = await anyio.open_process(
        command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ENGINE_FOLDER, env=engine_environment()
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with process:
        with anyio.move_on_after(seconds) as limit:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_listen, process.stderr, complaints, say)
                async for data in process.stdout:
                    output += data
                    if len(output) > _OUTPUT_BYTES:
                        process.kill()
                        break
            await process.wait()
        if limit.cancelled_caught:
            process.kill()
            raise TricksterError(
                "took-too-long", f"{arguments[0]} was ended after {seconds / 60:.0f} minutes.", "Ask for less."
            )
    if len(output) > _OUTPUT_BYTES:
        raise TricksterError("too-much-output", f"{arguments[0]} printed too much to pass on.", "")
    try:
        return json.loads(output.decode("utf-8", "replace"))
    except ValueError:
        lines = [line.strip() for line in complaints.decode("utf-8", "replace").splitlines() if line.strip()]
        raise printed_error(lines) or TricksterError(
            "command-failed", "\n".join(lines[-6:]) or f"{arguments[0]} ended with {process.returncode}.", ""
        ) from None


async def _listen(stream: ByteReceiveStream, kept: bytearray, say: Say | None) -> None:
    rest = ""
    async for data in stream:
        kept += data
        del kept[:-_KEPT_BYTES]
        *lines, rest = (rest + data.decode("utf-8", "replace")).replace("\r", "\n").split("\n")
        rest = rest[-_KEPT_BYTES:]
        for line in lines:
            if say is not None and line.rstrip().endswith(_PROGRESS):
                await say(line.strip()[: -len(_PROGRESS)])


def finite(value: Any) -> Any:
    """A value of JSON with None for what JSON has no spelling for: a perplexity can be infinite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return value


def shortened(value: Any, most: int) -> Any:
    """The same value with texts cut after `most` characters, and said so."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[:most]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key: shortened(one, most) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(one, most) for one in value]
    return value
