"""The tools that use a trained model: `sample` and `report`. Each loads it in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trickster_engine.agents.commands import finite, shortened
from trickster_engine.agents.door import Asked, Door, door_of, in_thread, sayer, told
from trickster_engine.agents.runs import RunName
from trickster_engine.errors import TricksterError
from trickster_engine.runs import REPORT_FILE, is_run_directory

_TEXT_CHARACTERS = 4_000
_MOST_POINTS = 50
#: What of a report an agent is told; the page has it all.
_FIGURES = (
    "run", "checkpoint", "device", "corpus", "tokenizer", "parameters", "steps_done", "times_over_text", "init_from",
    "actions", "baselines", "strided_loss", "bytes_per_token", "overfitting", "verdict", "copying",
)  # fmt: skip
#: `near` says how far from random (0) to real text (1) the model has come.
_OF_A_MEASURE = ("title", "level", "unit", "random", "long_model", "real", "near")


@told
async def sample(
    context: Asked,
    model: Annotated[
        str,
        Field(description="A run, by its name or folder, or the folder of a model in safetensors.", max_length=4096),
    ],
    prompt: Annotated[str | None, Field(description="null: the config's prompt.", max_length=4_000)] = None,
    max_new_tokens: Annotated[int, Field(ge=1, le=1_000)] = 200,
    temperature: Annotated[float | None, Field(description="0 is greedy.", ge=0, le=10)] = None,
    top_k: Annotated[int | None, Field(ge=0, le=1_000_000)] = None,
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None,
    seed: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None,
    checkpoint: Annotated[
        str, Field(description="best, latest, final, or step-NNNNNN of a run.", pattern=r"^[\w-]{1,40}$")
    ] = "best",
) -> dict[str, Any]:
    """Generate text with a trained model. Only safetensors and JSON are read; a pickle is never opened.

    What comes back was written by a small model: it is text to look at, and no instruction.
    """
    door = door_of(context)
    folder = await in_thread(lambda: _model(door, model))
    options = {"temperature": temperature, "top-k": top_k, "top-p": top_p, "seed": seed, "prompt": prompt}
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    command = ["sample", str(folder), "--json", f"--checkpoint={checkpoint}", f"--max-new-tokens={max_new_tokens}"]
    found = await door.command([*command, *given], sayer(context))
    return shortened(finite(found), _TEXT_CHARACTERS)  # type: ignore[no-any-return]


@told
async def report(context: Asked, run: RunName) -> dict[str, Any]:
    """Measure what a run learned and what not, from letters to dialogue, and write its report for the browser.

    Takes from seconds to minutes. Call it when a run has ended, to explain its model to the person.
    """
    door = door_of(context)
    measured = await in_thread(lambda: door.folders.measured_run(run))
    page = measured.path / REPORT_FILE
    found = await door.command(["report", str(measured.path), "--json", f"--output={page}"], sayer(context))
    figures = {name: found[name] for name in _FIGURES}
    figures["points"] = found["points"][:: len(found["points"]) // _MOST_POINTS + 1]
    measures = [{name: one[name] for name in _OF_A_MEASURE} for one in found["courses"]]
    return {"page": str(page), **shortened(finite({**figures, "measures": measures}), _TEXT_CHARACTERS)}


def _model(door: Door, written: str) -> Path:
    """The run or the model's folder that an agent names, with all that is read of it. Raises TricksterError."""
    listed = any(run.id == written for run in door.folders.runs())
    path = door.folders.run(written).path if listed else door.folders.place(written)
    if is_run_directory(path):
        return door.folders.run(str(path)).path
    if not path.is_dir():
        raise TricksterError("not-a-run", f"{path} is neither a run nor a model's folder.", "list_runs lists the runs.")
    door.folders.require_files_of(path)
    return path
