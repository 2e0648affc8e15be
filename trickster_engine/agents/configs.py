"""The tools that look at a config: `check` and `estimate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trickster_engine.agents.commands import finite
from trickster_engine.agents.door import Asked, Door, door_of, in_thread, sayer, told
from trickster_engine.agents.trusted import LONGEST_CONFIG
from trickster_engine.config import set_values
from trickster_engine.config.overrides import with_fitting_warmup
from trickster_engine.config.yaml.scalars import as_yaml
from trickster_engine.errors import TricksterError

ConfigPath = Annotated[str, Field(description="The config's path, in a trusted folder.", max_length=4096)]
Overrides = Annotated[
    dict[str, str | int | float | bool | list[str]] | None,
    Field(description='Values to use instead of the file\'s, such as {"training_config.max_steps": 200}.'),
]
_MOST_OVERRIDES = 50


@told
async def check(
    context: Asked,
    config: Annotated[str | None, Field(description="The config's path, in a trusted folder.", max_length=4096)] = None,
    text: Annotated[
        str | None,
        Field(
            description="Or the text of a config that is not saved yet; paths in it are relative to the first trusted "
            "folder.",
            max_length=LONGEST_CONFIG,
        ),
    ] = None,
) -> dict[str, Any]:
    """Check a config, and the text that it names, as training would. Returns problems, each with its line and column.

    Call it after every change of a config: where it has an error, `start` refuses. A problem's code is explained in
    the resource trickster://problems. Give a path, or a text.
    """
    door = door_of(context)
    if (config is None) == (text is None):
        raise TricksterError("bad-arguments", "Give config, a path, or text, and not both.", "")
    if text is not None:
        written = text
        result = await in_thread(lambda: door.folders.checked(written, door.folders.folders[0]))
        problems = [problem.as_lsp_json(written) for problem in result.problems]
        return {"ok": result.plan is not None, "problems": list(map(_place, problems)), "text": None}
    path, _ = await in_thread(lambda: _trusted(door, config or ""))
    found = await door.command(["check", str(path), "--json"], sayer(context))
    problems = list(map(_place, found["problems"]))
    ok = not any(problem["severity"] == "error" for problem in problems)
    return {"ok": ok, "config": str(path), "problems": problems, "text": finite(found["text"])}


@told
async def estimate(context: Asked, config: ConfigPath, overrides: Overrides = None) -> dict[str, Any]:
    """Estimate what training a config costs: parameters, memory in bytes, operations, epochs, and time on this machine.

    `time` is null before anything of its size was measured on this machine.
    """
    door = door_of(context)
    path, _ = await in_thread(lambda: _trusted(door, config, overrides))
    return await estimated(door, path, overrides)


async def estimated(door: Door, path: Path, overrides: Overrides) -> dict[str, Any]:
    """The figures of `trickster estimate` of a config that was found to be trusted. Raises TricksterError."""
    command = ["estimate", str(path), "--no-calibrate", "--json", *as_options(overrides)]
    figures: dict[str, Any] = finite(await door.command(command))
    return figures


def as_options(overrides: Overrides) -> list[str]:
    """Overrides as the command line takes them."""
    return [f"--set={name}={as_yaml(value)}" for name, value in (overrides or {}).items()]


def with_overrides(text: str, overrides: Overrides) -> str:
    """A config's text with overrides applied. Raises TricksterError where one cannot be."""
    if not overrides:
        return text
    if len(overrides) > _MOST_OVERRIDES:
        raise TricksterError("bad-arguments", f"{len(overrides)} overrides are too many.", "Change the config itself.")
    written = {name: as_yaml(value) for name, value in overrides.items()}
    return with_fitting_warmup(set_values(text, written), written)[0]


def _trusted(door: Door, config: str, overrides: Overrides = None) -> tuple[Path, str]:
    """A config's path and its text, after making sure that whatever it names is trusted. Raises TricksterError."""
    path, text = door.folders.config(config)
    text = with_overrides(text, overrides)
    door.folders.checked(text, path.parent)
    return path, text


def _place(problem: dict[str, Any]) -> dict[str, Any]:
    """A problem as people count: lines and columns from 1."""
    start = problem["range"]["start"]
    return {
        "severity": problem["severity"],
        "code": problem["code"],
        "line": start["line"] + 1,
        "column": start["character"] + 1,
        "message": problem["message"],
    }
