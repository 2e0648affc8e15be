"""The tools that act: `start` and `stop`. A start is a dry run until confirmed, by a person where one can be asked."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import anyio
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Elicit, Resolve
from pydantic import BaseModel, Field

from trickster_engine.agents.configs import (
    ConfigPath,
    Overrides,
    as_options,
    estimated,
    with_overrides,
)
from trickster_engine.agents.door import Asked, Door, can_ask, door_of, in_thread, origin_of, told
from trickster_engine.agents.runs import RunName, followed, standing
from trickster_engine.config.plan import Plan
from trickster_engine.errors import TricksterError, printed_error
from trickster_engine.runs import RunDirectory, config_name
from trickster_engine.runs.launch import Launched, free_run_directory, has_begun, launch
from trickster_engine.system.files import path_meant
from trickster_engine.system.units import duration_text, size_text

_LIVE_SECONDS = 60.0
"""How long a trainer may take until it holds its run: importing torch from a cold disk takes a while."""
_BEGIN_SECONDS = 8.0
"""How long it is waited from then on until training begins; a text that takes longer is not waited for."""
_LOOK_SECONDS = 0.1
_MOST_TRAINERS = 4
"""Runs that one agent may train at a time."""
_NEXT = "Call start again with confirm: true to train. A person can stop the run at any time."


class Consent(BaseModel):
    """What a person is asked before training starts."""

    start: bool = Field(title="Start training", description="Train now, as described")


class _Figures(BaseModel):
    """What a start would do, as the agent and the person are told."""

    config: str
    output: str
    steps: int
    device: str
    parameters: int
    memory_bytes: int
    seconds: float | None
    how_the_time_is_known: str | None
    tokens: int
    epochs: float | None
    tracking: str
    alerts_are_sent: bool

    def question(self, origin: str) -> str:
        """What the person is asked."""
        time_text = f"about {duration_text(self.seconds)}" if self.seconds is not None else "a time not known yet"
        leaves = " Alerts are sent to the address that you named with --webhook." if self.alerts_are_sent else ""
        return (
            f"{origin} asks to train {self.config}: {self.parameters:,} parameters, {self.steps:,} steps on "
            f"{self.device}, {size_text(self.memory_bytes)} of memory, {time_text}; written to {self.output}.{leaves}"
        )


class _Planned(NamedTuple):
    """A start that could be made."""

    path: Path
    text: str  # of the config, with overrides
    output: Path
    figures: _Figures


@told
async def _consent(
    context: Asked, config: str, confirm: bool = False, overrides: Overrides = None
) -> Elicit[Consent] | Consent:
    """Ask the person, where the agent has confirmed and its client can ask."""
    if not confirm or not can_ask(context):
        return Consent(start=confirm)
    door = door_of(context)
    planned = await _plan(door, config, overrides)
    door.asked_about[context.request_id] = planned.text
    return Elicit(planned.figures.question(origin_of(context)), Consent)


@told
async def start(
    context: Asked,
    config: ConfigPath,
    consent: Annotated[ElicitationResult[Consent], Resolve(_consent)],
    confirm: Annotated[bool, Field(description="false: only say what would happen.")] = False,
    overrides: Overrides = None,
) -> dict[str, Any]:
    """Train a config in a new run. Without `confirm: true` nothing starts: the answer says what would happen.

    Show that answer to the person before you confirm; a client that can asks the person by itself. Training goes on
    by itself when this server or the client closes; follow it with status and events_since, end it with stop.
    """
    door = door_of(context)
    planned = await _plan(door, config, overrides)
    would, asked_about = planned.figures.model_dump(), door.asked_about.pop(context.request_id, planned.text)
    if not confirm:
        return {"dry_run": True, "started": False, "would": would, "next": _NEXT}
    if not isinstance(consent, AcceptedElicitation) or not consent.data.start:
        return {"dry_run": False, "started": False, "why": "The person did not agree.", "would": would}
    if asked_about != planned.text:
        raise TricksterError(
            "config-changed", f"{planned.path} has changed while the person was asked.", "Call start again."
        )
    door.collect()
    if len(door.launched) >= _MOST_TRAINERS:
        raise TricksterError(
            "too-many-runs", f"{len(door.launched)} runs that were started here are being trained.", "Stop one first."
        )
    path = planned.path
    directory = await in_thread(lambda: free_run_directory(planned.output, config_name(path)))
    # The trainer reads the file once more: not what somebody has written into it since.
    agreed = hashlib.sha256(planned.text.encode("utf-8")).hexdigest()
    command = ["train", str(path), f"--run-dir={directory}", f"--origin={origin_of(context)}", f"--agreed={agreed}"]
    command += as_options(overrides)
    launched = await in_thread(lambda: launch(sys.executable, command, directory))
    door.launched.append(launched)
    await _begun(context, launched)
    run = RunDirectory(directory)
    return {"dry_run": False, "started": True, "pid": launched.pid, **await in_thread(lambda: standing(run))}


async def _plan(door: Door, config: str, overrides: Overrides) -> _Planned:
    """What a start would do. Raises TricksterError, also where the config has an error."""

    def look() -> tuple[Path, str, Plan]:
        path, text = door.folders.config(config)
        text = with_overrides(text, overrides)
        result = door.folders.checked(text, path.parent)
        if result.plan is None:
            raise TricksterError("config-invalid", f"{path} has errors, so it cannot be trained.", "check lists them.")
        door.folders.require_webhook(result.plan)
        return path, text, result.plan

    path, text, plan = await in_thread(look)
    if door.estimate is None or door.estimate[0] != (path, text):  # asked for the second time, it is the same question
        door.estimate = (path, text), await estimated(door, path, overrides)
    figures = door.estimate[1]
    expected = figures["time"] or {}
    output = path_meant(path.parent, plan.output.output_dir)
    planned = _Figures(
        config=str(path),
        output=str(output),
        steps=plan.training.max_steps,
        device=plan.device.device_type,
        parameters=figures["parameters"]["total"],
        memory_bytes=figures["memory"]["training"]["total"],
        seconds=expected.get("seconds"),
        how_the_time_is_known=expected.get("source"),
        tokens=figures["text"]["tokens_in_run"],
        epochs=figures["text"]["epochs"],
        tracking=plan.training.tracking,
        alerts_are_sent=plan.alerts.webhook is not None,
    )
    return _Planned(path, text, output, planned)


async def _begun(context: Asked, launched: Launched) -> None:
    """Wait until training is about to begin, so that what prevents it is said here. Raises TricksterError."""
    run, began, shown = RunDirectory(launched.run_directory), time.monotonic(), False
    while time.monotonic() - began < (_BEGIN_SECONDS if shown else _LIVE_SECONDS):
        code = launched.exit_code()
        if code:
            lines = [line.strip() for line in launched.last_words().splitlines() if line.strip()]
            raise printed_error(lines) or TricksterError("training-failed", "\n".join(lines[-6:]), "")
        if not shown and await in_thread(lambda: has_begun(run.path, launched.pid)):
            await context.report_progress(1, 2, "The trainer has started and prepares the text")
            began, shown = time.monotonic(), True
        if code == 0 or (shown and await in_thread(run.identity_if_readable) is not None):
            await context.report_progress(2, 2, "Training begins")
            return
        await anyio.sleep(_LOOK_SECONDS)


@told
async def stop(
    context: Asked,
    run: RunName,
    wait_seconds: Annotated[
        float, Field(description="How long to wait until it has saved and stopped.", ge=0, le=600)
    ] = 60,
) -> dict[str, Any]:
    """Have a run saved and stopped after the step it is in. Nothing is lost: `trickster resume` goes on with it."""
    door = door_of(context)

    def ask() -> RunDirectory:
        found = door.folders.run(run)
        if found.liveness() == "idle":
            raise TricksterError("not-running", f"{found.path} is not being trained.", "list_runs says which are.")
        found.request_stop(origin_of(context))
        return found

    found = await in_thread(ask)
    return await followed(context, found, wait_seconds)
