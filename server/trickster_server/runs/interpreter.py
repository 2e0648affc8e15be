"""The Python that trains: which one, what it has, and the surroundings it is started in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.system.programs import ENGINE_FOLDER, engine_environment, find_program
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.messages.errors import ErrorCode

_QUESTION = """\
import importlib.util, json, sys
names = ("torch", "numpy", "tokenizers", "safetensors", "yaml")
missing = [name for name in names if importlib.util.find_spec(name) is None]
print(json.dumps({"version": list(sys.version_info[:3]), "executable": sys.executable, "missing": missing}))
"""
_QUESTION_SECONDS = 30.0


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter has said of itself."""

    path: str
    version: tuple[int, ...]
    missing: tuple[str, ...]


async def start_python(command: Sequence[str], **options: Any) -> asyncio.subprocess.Process:
    """Start an interpreter that is heard through pipes, in the engine's folder unless `options` name another.

    Raises RequestError with NO_INTERPRETER.
    """
    pipe = asyncio.subprocess.PIPE
    surroundings = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "env": engine_environment(), "cwd": ENGINE_FOLDER}
    try:
        return await asyncio.create_subprocess_exec(*command, **{**surroundings, **options})
    except (OSError, ValueError) as error:
        raise does_not_start(command[0], error) from error


def does_not_start(python: str, error: Exception) -> RequestError:
    """The error for an interpreter that the system cannot start."""
    return RequestError(ErrorCode.NO_INTERPRETER, f"{python} does not start: {error}. Choose another.")


class Interpreters:
    """Interpreters that have been asked what they have, each once."""

    def __init__(self, folders: Callable[[], Iterable[Path]]) -> None:
        self.chosen: str | None = None
        """The one the person has chosen; None: the server's own."""
        self._folders = folders
        """Where a path that is not absolute is looked for: the folders of the workspace."""
        self._known: dict[str, Interpreter] = {}

    def path(self, named: str | None) -> str:
        """The interpreter to use: the one named in the request, else the chosen one, else the server's own.

        A bare name is looked for in the PATH, a relative path below the folders of the workspace.
        """
        given = named or self.chosen
        return resolved(given, self._folders()) if given else sys.executable

    async def able_to_train(self, named: str | None) -> str:
        """The interpreter to use, after making sure that it starts and has torch.

        Raises RequestError with NO_INTERPRETER or NO_TORCH.
        """
        path = self.path(named)
        interpreter = self._known.get(path)
        if interpreter is None or interpreter.missing:  # something may have been installed since
            interpreter = self._known[path] = await ask(path)
        if interpreter.version < (3, 10):
            version = ".".join(map(str, interpreter.version))
            raise RequestError(
                ErrorCode.NO_INTERPRETER, f"{path} is Python {version}. Training needs 3.10 or newer: choose another."
            )
        if interpreter.missing:
            names = ", ".join("PyYAML" if name == "yaml" else name for name in interpreter.missing)
            raise RequestError(
                ErrorCode.NO_TORCH,
                f"{path} lacks {names}. Set up an environment for training, or choose an interpreter that has them.",
                {"python": path, "missing": list(interpreter.missing), "errorCode": "torch-missing"},
            )
        return path


def resolved(named: str, folders: Iterable[Path]) -> str:
    """The program that a setting means; as it was given where nothing of that name is there."""
    path = Path(named).expanduser() if named.startswith("~") else Path(named)
    if path.is_absolute():
        return str(path)
    if len(path.parts) == 1 and named == path.name:
        return find_program(named.removesuffix(".exe") if sys.platform == "win32" else named) or named
    # The name is kept as it is: a link in a virtual environment is what makes it one.
    candidates = [folder / path for folder in folders]
    return str(next((one for one in candidates if one.is_file()), candidates[0] if candidates else path))


async def ask(path: str) -> Interpreter:
    """Start an interpreter and ask what it has. Raises RequestError with NO_INTERPRETER."""
    process = await start_python([path, "-c", _QUESTION], stdin=asyncio.subprocess.DEVNULL)
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), _QUESTION_SECONDS)
    except asyncio.TimeoutError as error:
        raise RequestError(ErrorCode.NO_INTERPRETER, f"{path} does not answer. Choose another.") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    try:
        answer = json.loads(output.decode("utf-8", "replace").strip().splitlines()[-1])
        return Interpreter(path, tuple(answer["version"]), tuple(answer["missing"]))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        last = complaint.decode("utf-8", "replace").strip().splitlines()[-1:]
        why = last[0] if last else f"exit code {process.returncode}"
        raise RequestError(ErrorCode.NO_INTERPRETER, f"{path} is not a working Python ({why}).") from error
