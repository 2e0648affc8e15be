"""Whether a run's report still says what there is to say. Touches files only."""

from __future__ import annotations

from trickster_engine.report.html_page import mark
from trickster_engine.runs import REPORT_FILE, RunDirectory

_HEAD = 2048
"""Bytes at the beginning of a page among which is what it was made from."""


def is_fresh(run: RunDirectory) -> bool:
    """Whether the report was made by this version, from all events that there are now."""
    try:
        wanted = mark(run.events_path.stat().st_size)
        with (run.path / REPORT_FILE).open("rb") as file:
            return wanted.encode() in file.read(_HEAD)
    except OSError:
        return False
