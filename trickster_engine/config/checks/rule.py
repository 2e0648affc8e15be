"""Rules about keys that have each a good value but do not go together.

A rule is a generator of problems. It is only asked when every key that it names has a value that can be relied on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from trickster_engine.config.problems import Problem
from trickster_engine.config.settings import Settings

Rule = Callable[[Settings], Iterator[Problem]]

RULES: Final[list[tuple[tuple[str, ...], Rule]]] = []


def rule(*paths: str) -> Callable[[Rule], Rule]:
    """Register a rule that looks at these keys."""

    def register(function: Rule) -> Rule:
        RULES.append((paths, function))
        return function

    return register


def problems_of(settings: Settings) -> Iterator[Problem]:
    """Yield what all rules have to say."""
    for paths, function in RULES:
        if settings.knows(*paths):
            yield from function(settings)
