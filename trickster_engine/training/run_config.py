"""The config of a run: its exact text, and the plan that it means."""

from __future__ import annotations

from pathlib import Path

from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, config_unreadable, link_in_run
from trickster_engine.system.files import NotAPlainFileError, read_text, write_text_atomically
from trickster_engine.system.os_errors import cannot_write


def write_config(run: RunDirectory, text: str, path: Path | None = None) -> None:
    """Write the config of a run whose lock is held. Raises TricksterError."""
    path = path or run.config_path
    try:
        write_text_atomically(path, text)
    except OSError as error:
        raise cannot_write(error, path, "choose another folder with output_config.output_dir") from error


def plan_of(run: RunDirectory, text: str) -> Plan:
    """The plan in a text of this run. Raises TricksterError."""
    result = check(text)
    if result.plan is None:
        first = next(problem for problem in result.problems if problem.severity == "error")
        raise TricksterError(first.code, f"{run.config_path}: {first.message}", "Fix the value and resume again.")
    return result.plan


def read_config(run: RunDirectory) -> str:
    """The exact text that is trained. Raises TricksterError."""
    try:
        return read_text(run.config_path)
    except FileNotFoundError as error:
        raise TricksterError(
            "not-a-run", f"{run.path} is not a run directory: it has no config.yaml.", "List runs with: trickster runs"
        ) from error
    except NotAPlainFileError as error:
        raise link_in_run(run.config_path, error) from error
    except (OSError, UnicodeDecodeError) as error:
        raise config_unreadable(run.config_path, error) from error
