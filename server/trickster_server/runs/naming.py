"""Which runs a name means: people and editors name them in many ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from trickster_server.paths import path_of, without_dots
from trickster_server.runs.followed import FollowedRun


def runs_named(name: str, runs: Mapping[str, FollowedRun], workspace: Iterable[Path]) -> list[FollowedRun]:
    """The runs that a name means: its name in messages, an address, a path, or the name of its directory.

    A path that is not absolute is below a folder of the workspace.
    """
    if (run := runs.get(name)) is not None:
        return [run]
    given = path_of(name) or Path(name)
    if "\0" in name or not given.name:
        return []
    places = [given] if given.is_absolute() else [folder / given for folder in workspace]
    exact = {str(without_dots(place)) for place in places}
    if found := [run for run in runs.values() if run.run_id in exact]:
        return found
    if given.is_absolute() or len(given.parts) > 1:
        return []
    return [run for run in runs.values() if run.directory.path.name == given.name]
