"""Notices that the client is gone even when the pipe to it stays open (something else may have inherited it)."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable

from trickster_engine.system.processes import ProcessIdentity, is_running, process_started

_SECONDS = 2.0


async def watch_parent(pid: int, gone: Callable[[], None]) -> None:
    """Call `gone` once the process `pid` has ended.

    A client in another container names a process that cannot be seen from here: then there is nothing to watch.
    """
    started = await asyncio.to_thread(process_started, pid)
    if started is None:
        return
    parent = ProcessIdentity(pid, started, platform.node())
    while await asyncio.to_thread(is_running, parent):
        await asyncio.sleep(_SECONDS)
    gone()
