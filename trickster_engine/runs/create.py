"""A new run: its name, its random id, its directory."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from trickster_engine.errors import TricksterError
from trickster_engine.runs.directory import RunDirectory, is_run_directory
from trickster_engine.system.os_errors import cannot_write

_RUN_NAME = re.compile(r"(?P<name>.+)-(?P<number>\d{3,})")


def new_uid() -> str:
    """A random id for a run at its birth."""
    return secrets.token_hex(16)


def config_name(config_path: Path) -> str:
    """`nano.trickster.yaml` -> `nano`: the first half of a run's name."""
    name = config_path.name
    for suffix in (".yaml", ".yml", ".trickster"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"


def create_run(output_dir: Path, name: str) -> RunDirectory:
    """Make the next free `<name>-<NNN>` below `output_dir`.

    Raises TricksterError: output-not-writable; inside-a-run, where a run would be lost, or deleted together with the
    one that it lies in.
    """
    around = next((folder for folder in (output_dir, *output_dir.parents) if is_run_directory(folder)), None)
    if around is not None:
        raise TricksterError(
            "inside-a-run",
            f"This run would be written inside another one, {around}, whose copy of its config this is.",
            "Train the config that the copy was made from, or copy it out of there first.",
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        numbers = [
            int(match["number"])
            for child in output_dir.iterdir()
            if (match := _RUN_NAME.fullmatch(child.name)) and match["name"] == name
        ]
        number = max(numbers, default=0) + 1
        while True:
            path = output_dir / f"{name}-{number:03d}"
            try:
                path.mkdir()
                return RunDirectory(path)
            except FileExistsError:
                number += 1
    except OSError as error:
        raise cannot_write(
            error,
            f"runs into {output_dir}",
            "choose another folder with output_config.output_dir",
            "output-not-writable",
        ) from error
