"""How this project starts programs: nothing is taken from the folder one happens to stand in.

That folder may be anybody's: a repository that was just cloned, a shared directory. Python, Windows, and a PATH or
PYTHONPATH with an empty entry all look into it first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

LAUNCHER = Path(__file__).resolve().with_name("launcher.py")
"""Starts a module without the folder one stands in on its path."""
ENGINE_FOLDER = LAUNCHER.parents[2]
"""The folder this engine was imported from: the same one trains, whatever the interpreter has installed."""
_FOR_THIS_PROCESS = frozenset({"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONHOME", "__PYVENV_LAUNCHER__"})
"""Variables that are meant for the interpreter of this process, such as the language server's."""


def python_command(module: str, *arguments: str | os.PathLike[str], python: str | None = None) -> list[str]:
    """The command that runs a module of this project in a Python, by default in this one."""
    return [python or sys.executable, str(LAUNCHER), module, *map(str, arguments)]


def safe_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Environment variables with which a process, and what it starts in turn, finds programs and modules.

    Of PATH and PYTHONPATH the absolute folders are kept. Python 3.11 and newer, whoever starts it and however, leaves
    the current folder out.
    """
    safe = {**values, "PYTHONSAFEPATH": "1"}
    if sys.platform == "win32":
        safe["NoDefaultCurrentDirectoryInExePath"] = "1"
    for name in ("PATH", "PYTHONPATH"):
        if name in safe:
            safe[name] = os.pathsep.join(absolute_folders(safe[name]))
            if not safe[name]:
                del safe[name]
    return safe


def engine_environment() -> dict[str, str]:
    """Environment variables for a process that runs the engine.

    The engine's folder comes first on the path. What the language server needs for itself (its bundled pygls and the
    like) is left out: it is of no use to the process and may not suit its version of Python.
    """
    inherited = absolute_folders(os.environ.get("PYTHONPATH", ""))
    kept = [entry for entry in inherited if not (Path(entry) / "pygls").is_dir()]
    folders = [str(ENGINE_FOLDER), *(entry for entry in kept if Path(entry) != ENGINE_FOLDER)]
    # Where the client keeps the server's compiled files is no place to look for torch's.
    others = {name: value for name, value in os.environ.items() if name not in _FOR_THIS_PROCESS}
    return {
        **safe_environment(others),
        "PYTHONPATH": os.pathsep.join(folders),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }


def search_absolute_folders() -> None:
    """Give this process, and with it all that it starts, a safe environment."""
    safe = safe_environment(os.environ)
    for name in os.environ.keys() - safe.keys():
        del os.environ[name]
    os.environ.update(safe)


def absolute_folders(path: str) -> list[str]:
    """The entries of a PATH or the like that do not depend on where one stands."""
    return [entry for entry in path.split(os.pathsep) if Path(entry.strip('"')).is_absolute()]


def find_program(name: str) -> str | None:
    """Where a program lies; None where no absolute folder of the PATH has it."""
    file = f"{name}.exe" if sys.platform == "win32" else name
    for folder in absolute_folders(os.environ.get("PATH", os.defpath)):
        program = Path(folder.strip('"')) / file
        if program.is_file() and os.access(program, os.X_OK):
            return str(program)
    return None
