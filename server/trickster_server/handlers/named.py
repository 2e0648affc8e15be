"""What a request names: the run, or the config on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

from trickster_engine.system.os_errors import reason
from trickster_server.documents import read_config
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages.errors import ErrorCode
from trickster_server.paths import path_of
from trickster_server.runs.followed import FollowedRun
from trickster_server.services import Services

#: How many runs an error names at most.
_NAMED = 8


async def run_named(services: Services, run_id: str) -> FollowedRun:
    """The run that a client means. Raises RequestError where there is none, or more than one."""
    await services.registry.ready()
    found = services.registry.named(run_id)
    if len(found) > 1:
        paths = ", ".join(sorted(run.run_id for run in found))
        raise RequestError(ErrorCode.UNKNOWN_RUN, f"Several runs are called {run_id}: {paths}. Name one by its path.")
    if not found:
        raise RequestError(ErrorCode.UNKNOWN_RUN, f"There is no run {run_id} in this workspace.{_known_runs(services)}")
    return found[0]


def _known_runs(services: Services) -> str:
    names = sorted({run.directory.path.name for run in services.registry.runs()})
    if not names:
        return " It has none."
    return f" It has {', '.join(names[:_NAMED])}{' and others' if len(names) > _NAMED else ''}."


async def config_path(services: Services, uri: str) -> Path:
    """The file behind an address, or behind a path: one that is not absolute is below a folder of the workspace."""
    path = path_of(uri)
    if path is None and "://" not in uri and uri.strip() and "\0" not in uri:
        named = Path(uri).expanduser() if uri.startswith("~") else Path(uri)
        places = [named] if named.is_absolute() else [folder / named for folder in services.folders()]
        there = await asyncio.to_thread(lambda: [one for one in places if one.is_file()])
        if not there and places:
            raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"Cannot read {places[0]}: there is no such file.")
        path = there[0] if there else None
    if path is None:
        raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"{uri} is not a file on this machine. Save it first.")
    return path


async def config_text(path: Path) -> str:
    """The text of a config on disk. Raises RequestError."""
    try:
        data = await asyncio.to_thread(read_config, path)
    except OSError as error:
        raise RequestError(ErrorCode.CONFIG_HAS_ERRORS, f"Cannot read {path}: {reason(error)}.") from error
    return data.decode("utf-8", "replace")
