"""What all tools share: the trusted folders, who asks, and the trainers that were started here."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from trickster_engine.agents.commands import Say, run_command
from trickster_engine.agents.trusted import TrustedFolders
from trickster_engine.errors import TricksterError
from trickster_engine.runs.launch import Launched
from trickster_engine.system.printable import printable

P = ParamSpec("P")
T = TypeVar("T")

_NAME_CHARACTERS = 80


@dataclass
class Door:
    """One connection of an agent."""

    folders: TrustedFolders
    launched: list[Launched] = field(default_factory=list)
    asked_about: dict[str, str] = field(default_factory=dict)
    """The text of the config that the person is being asked about, by request."""
    estimate: tuple[tuple[Path, str], dict[str, Any]] | None = None
    """The figures of the config that was planned last, and that config."""
    _turn: anyio.Lock = field(default_factory=anyio.Lock)

    async def command(self, arguments: Sequence[str], say: Say | None = None) -> Any:
        """Run a command of the engine, one at a time, so that twenty samples are no twenty models in memory."""
        async with self._turn:
            return await run_command(arguments, say)

    def collect(self) -> None:
        """Let go of the trainers that have ended, so that none stays behind as a zombie."""
        for one in [one for one in self.launched if one.exit_code() is not None]:
            one.close()
            self.launched.remove(one)


Asked = Context[Door, Any]
"""What a tool is told of who asks."""


def door_of(context: Asked) -> Door:
    """The door through which a request came."""
    return context.request_context.lifespan_context


def origin_of(context: Asked) -> str:
    """What the agent calls itself, with its version: `claude-code 2.1.0`. One line, and short, whatever it says."""
    params = context.session.client_params
    words = [params.client_info.name, params.client_info.version] if params is not None else []
    shown = (" ".join(printable(word).split())[:_NAME_CHARACTERS] for word in words)
    return " ".join(filter(None, shown)) or "an agent without a name"


def can_ask(context: Asked) -> bool:
    """Whether the client can ask its person a question for us."""
    asking = context.client_capabilities.elicitation if context.client_capabilities is not None else None
    return asking is not None and (asking.form is not None or asking.url is None)


def sayer(context: Asked) -> Say:
    """Passes on what a command is doing, as progress without an end."""
    done = 0

    async def say(words: str) -> None:
        nonlocal done
        done += 1
        await context.report_progress(done, None, words)

    return say


async def in_thread(work: Callable[[], T]) -> T:
    """Look at files away from the event loop. Cancelling does not wait for a slow disk."""
    return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def told(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """A tool whose TricksterErrors the agent reads, with their code and what to do next."""

    @functools.wraps(tool)
    async def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tool(*args, **kwargs)
        except TricksterError as error:
            code = f" [{error.code}]" if error.code else ""
            raise ToolError(f"{error.message}{code}\n{error.advice}".rstrip()) from error

    return answer
