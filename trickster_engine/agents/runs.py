"""The tools that read runs: `list_runs`, `status`, `events_since` and `compare`."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

import anyio
from pydantic import Field

from trickster_engine.agents.commands import finite, shortened
from trickster_engine.agents.door import Asked, door_of, in_thread, sayer, told
from trickster_engine.config.plan_values import values_of
from trickster_engine.evaluation.report.names import best_ngram
from trickster_engine.runs import RunDirectory, read_piece
from trickster_engine.runs.events import begun
from trickster_engine.runs.state import state_at

RunName = Annotated[str, Field(description="The run: its name in list_runs, or its folder.", max_length=4096)]

MOST_RUNS = 50
_MOST_EVENTS = 200
_EVENT_BYTES = 1 << 18
_TEXT_CHARACTERS = 2_000
_LOOK_SECONDS = 0.5


def standing(run: RunDirectory) -> dict[str, Any]:
    """Where a run stands, as plain values."""
    summary = asdict(run.summary())
    values = {"run": summary.pop("id"), **summary, "path": str(run.path)}
    bar = best_ngram(summary["baselines"])
    values["best_ngram"] = None if bar is None else {"name": bar[0], "val_loss": bar[1]}
    return shortened(finite(values), _TEXT_CHARACTERS)  # type: ignore[no-any-return]


async def followed(context: Asked, run: RunDirectory, wait_seconds: float) -> dict[str, Any]:
    """Where a run stands once it has ended, or when it was waited for long enough. Tells how far it is meanwhile."""
    deadline = time.monotonic() + wait_seconds
    while True:
        began = time.monotonic()
        found = await in_thread(lambda: standing(run))
        words = f"{found['status']}, step {found['step']:,}"
        if found["train_loss"] is not None:
            words += f", training loss {found['train_loss']:.3f}"
        await context.report_progress(found["step"], found["max_step"], words)
        if not found["live"] or time.monotonic() >= deadline:
            return found
        # Reading a run of days takes a while: a tenth of the time at most.
        pause = max(_LOOK_SECONDS, 9 * (time.monotonic() - began))
        await anyio.sleep(min(pause, max(deadline - time.monotonic(), 0)))


@told
async def list_runs(context: Asked) -> dict[str, Any]:
    """List the runs in the trusted folders, newest first: where each stands, its losses, and what agents had done."""
    door = door_of(context)
    door.collect()

    def look() -> dict[str, Any]:
        runs = sorted(door.folders.runs(), key=lambda run: begun(run.events_path), reverse=True)
        return {"runs": [standing(run) for run in runs[:MOST_RUNS]], "older": max(0, len(runs) - MOST_RUNS)}

    return await in_thread(look)


@told
async def status(
    context: Asked,
    run: RunName,
    wait_seconds: Annotated[
        float, Field(description="Wait so long for the run to end, and report its progress.", ge=0, le=600)
    ] = 0,
) -> dict[str, Any]:
    """Say where a run stands: its status, step, losses in nats/token, expected time, and what agents had done."""
    door = door_of(context)
    door.collect()
    return await followed(context, await in_thread(lambda: door.folders.run(run)), wait_seconds)


@told
async def events_since(
    context: Asked,
    run: RunName,
    cursor: Annotated[int, Field(description="`next` of the answer before; 0 for the first events.", ge=0)] = 0,
    limit: Annotated[int, Field(ge=1, le=_MOST_EVENTS)] = 100,
    kinds: Annotated[
        list[Literal["status", "step", "eval", "baselines", "sample", "checkpoint", "warning", "error", "action"]]
        | None,
        Field(description="Only events of these kinds; null for all."),
    ] = None,
) -> dict[str, Any]:
    """Read a run's events from a cursor on, oldest first. Ask again with `next` for what has happened since.

    Losses are in nats/token, times in seconds. `more` says whether there are more to read now.
    """
    door = door_of(context)

    def look() -> dict[str, Any]:
        piece = read_piece(door.folders.run(run).events_path, cursor, _EVENT_BYTES, limit)
        events = [event for event in piece.events if kinds is None or event["kind"] in kinds]
        return {"events": shortened(events, _TEXT_CHARACTERS), "next": piece.after, "more": piece.more}

    return finite(await in_thread(look))  # type: ignore[no-any-return]


@told
async def compare(
    context: Asked,
    run: RunName,
    other: Annotated[
        str | None,
        Field(description="A second run to compare with. null: compare with the untrained model.", max_length=4096),
    ] = None,
) -> dict[str, Any]:
    """Compare two runs: their figures side by side, and the keys of their configs that differ.

    Without `other`: compare the trained model with itself before training and with n-grams, on the validation text,
    with a text by each. Losses in nats/token compare only between runs with one tokenizer; bits/byte always do.
    """
    door = door_of(context)
    if other is None:
        measured = await in_thread(lambda: door.folders.measured_run(run))
        found = await door.command(["compare", str(measured.path), "--json"], sayer(context))
        return shortened(finite(found), _TEXT_CHARACTERS)  # type: ignore[no-any-return]
    second = other

    def look() -> dict[str, Any]:
        runs = [door.folders.run(run), door.folders.run(second)]
        values = [values_of(one.plan()) for one in runs]
        differ = {key: [one.get(key) for one in values] for key in values[0] if values[0][key] != values[1].get(key)}
        return {"runs": [_figures(one) for one in runs], "config_differs": differ}

    return shortened(finite(await in_thread(look)), _TEXT_CHARACTERS)  # type: ignore[no-any-return]


def _figures(run: RunDirectory) -> dict[str, Any]:
    state, identity = state_at(run.events_path), run.identity_if_readable()
    speeds = sorted(state.speeds)
    return {
        **standing(run),
        "seconds": state.seconds,
        "tokens_per_second": speeds[len(speeds) // 2] if speeds else None,
        "parameters": identity.parameters if identity else None,
        "device": identity.device if identity else None,
        "text": identity.data.get("name") if identity else None,
        "text_fingerprint": identity.data.get("fingerprint") if identity else None,
    }
