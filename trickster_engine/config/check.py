"""Check a config: the one function that the command line, the language server and the trainer all call."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import trickster_engine.config.checks  # noqa: F401 - the rules register themselves
from trickster_engine.config.keys import KEYS, SECTIONS
from trickster_engine.config.plan import Plan
from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings, problems_of
from trickster_engine.config.starting_weights import StartingWeights
from trickster_engine.config.walk import Walk, unused_keys
from trickster_engine.config.yaml.document import Document
from trickster_engine.config.yaml.parser import parse

_ORDER = {"error": 0, "warning": 1, "information": 2, "hint": 3}


class CheckResult(NamedTuple):
    """`plan` is None where one of `problems` is an error, or where it follows a folder that was not looked into."""

    plan: Plan | None
    problems: list[Problem]


def check(text: str, folder: Path | None = None) -> CheckResult:
    """Check the text of a config. Never raises, whatever the text.

    Paths in it are looked up from `folder`; None means that the file system is not looked at.
    """
    return check_document(parse(text), folder)


def settings_of(text: str, folder: Path | None = None) -> Settings:
    """The keys of a config as the rules see them, for problems that are found elsewhere."""
    document = parse(text)
    walk = Walk(document)
    walk.run()
    return Settings(document, walk.given, folder)


def check_document(document: Document, folder: Path | None = None, start: StartingWeights | None = None) -> CheckResult:
    """Check a document that is already parsed. `start` is what its `init_from` is known to name."""
    walk = Walk(document)
    walk.run()
    settings = Settings(document, walk.given, folder, start)
    problems = [*document.problems, *walk.problems, *problems_of(settings)]
    known = {path: settings.value(path) for path in KEYS if settings.knows(path)}
    problems.extend(unused_keys(walk.given, known, document))
    problems.sort(key=lambda problem: (problem.range, _ORDER[problem.severity], problem.code))
    if any(problem.severity == "error" for problem in problems):
        return CheckResult(None, problems)
    return CheckResult(_plan(settings) if settings.knows(*KEYS) else None, problems)


def _plan(settings: Settings) -> Plan:
    sections: dict[str, Any] = {}
    for section in SECTIONS.values():
        values = {name: settings.value(key.path) for name, key in section.keys.items()}
        sections[section.attribute] = section.plan_type(**values)
    return Plan(**sections)
