"""What the engine's commands print while they work, and what of it people see."""

from __future__ import annotations

import asyncio

from trickster_server.runs.engine_process import listen


def test_only_the_engines_own_words_are_progress() -> None:
    """A library's complaint is kept for the case that the command fails, and is not shown as what is being done."""
    printed = (
        "\nlibgomp: Invalid value for environment variable OMP_NUM_THREADS\n"
        "Letting the model write ...\r\n"
        "small.yaml:3:1: warning: This is unusual. [odd]\n"
        "Measuring the copies ...\n"
        "an end without a line"
    )
    kept: list[str] = []
    heard: list[str] = []

    async def play() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(printed.encode())
        stream.feed_eof()
        await listen(stream, kept, heard.append)

    asyncio.run(play())
    assert heard == ["Letting the model write ...", "Measuring the copies ..."]
    assert kept[0].startswith("libgomp") and kept[-1] == "an end without a line"
