"""Fixtures of the engine's tests, and each result as a line of JSON as soon as it is there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.engine.conftest import corpus, own_cache, tiny_config

__all__ = ["corpus", "own_cache", "tiny_config"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """With TRICKSTER_ACCEPTANCE_OUT, add what a test found to that file: a run that is killed loses little."""
    path = os.environ.get("TRICKSTER_ACCEPTANCE_OUT")
    if path and (report.when == "call" or report.outcome != "passed"):
        text = "" if report.outcome == "passed" else report.longreprtext[-4000:]
        line = {"test": report.nodeid.split("::", 1)[-1], "outcome": report.outcome, "seconds": report.duration}
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "found": dict(report.user_properties), "text": text}) + "\n")
