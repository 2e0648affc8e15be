"""Code lenses over the file: Train, Resume, Generate, Inspect, with what the training costs."""

from __future__ import annotations

from lsprotocol import types

from trickster_engine.config.problems import Position, Range
from trickster_engine.config.shapes import count_parameters
from trickster_engine.system.units import duration_text, short_count_text
from trickster_server.documents import Document
from trickster_server.runs.followed import FollowedRun
from trickster_server.services import Services


def lens_line(document: Document) -> Range:
    """Where the lenses stand: over the first section, so that a comment at the top keeps its place."""
    first = next(iter(document.parsed.sections()), None)
    line = first.key.range.start.line if first is not None else 0
    return Range(Position(line, 0), Position(line, 0))


def lenses(document: Document, runs: list[FollowedRun], facts: str, client_commands: bool) -> list[types.Command]:
    """What each lens says and does. `runs` are those of this file, newest first."""
    found: list[types.Command] = []

    def offer(name: str, icon: str, words: str, **argument: str) -> None:
        # Only VS Code draws icons; it is also the client that has commands of its own.
        title = f"$({icon}) {words}" if client_commands else words
        command = f"trickster.{name}" if client_commands else f"trickster.server.{name}"
        found.append(types.Command(title=title, command=command, arguments=[argument]))

    valid = document.checked.plan is not None
    live = next((run for run in runs if run.live), None)
    if valid:
        offer("train", "play", f"{'' if client_commands else '▶ '}Train{facts}", configUri=document.uri)
    if live is not None and live.state != "stopping":
        offer("stop", "debug-stop", "Stop", runId=live.run_id)
    waiting = next((run for run in runs if run.resumable), None)
    if waiting is not None and live is None:
        offer("resume", "debug-continue", f"Resume {waiting.directory.path.name}", runId=waiting.run_id)
    usable = next((run for run in runs if run.checkpoints()), None)
    if usable is not None:
        offer("generate", "edit", "Generate", runId=usable.run_id)
    if valid:
        offer("inspect", "search", "Inspect", configUri=document.uri)
    return found


def code_lenses(document: Document, services: Services, _: types.CodeLensParams) -> list[types.CodeLens]:
    """The lenses of a config."""
    where = document.columns.range_to_client(lens_line(document))
    return [types.CodeLens(range=where, command=command) for command in commands_of(document, services)]


def commands_of(document: Document, services: Services) -> list[types.Command]:
    """What can be done with a config now."""
    facts = training_facts(document, services)
    return lenses(document, runs_of(document, services), facts, services.options.client_commands)


def runs_of(document: Document, services: Services) -> list[FollowedRun]:
    """The runs started from a file, newest first."""
    key = document.file_key
    if key is None:
        return []
    runs = [run for run in services.registry.runs() if run.config_file == key]
    return sorted(runs, key=lambda run: run.created, reverse=True)


def training_facts(document: Document, services: Services) -> str:
    """Parameters and expected time, for the lens."""
    plan = document.checked.plan
    if plan is None:
        return ""
    parts = [f"{short_count_text(count_parameters(plan.model).total)} parameters"]
    expected = services.timing.training_time(plan)
    if expected is not None:
        about = "" if expected.source == "measured" else "about "
        parts.append(f"{about}{duration_text(expected.seconds)} here")
    return f" ({', '.join(parts)})"
