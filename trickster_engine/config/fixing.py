"""Applying fixes without a look: what an editor does when it is told to fix everything, and what it may do so with.

Each rule offers its fixes by itself, and only a second check tells what has come of one. A fix counts as safe here when
the file has no more problems after it than before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from trickster_engine.config.check import check
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range
from trickster_engine.config.yaml.text import Lines, apply_edits

_MOST_ROUNDS: Final = 50
#: How many fixes are tried one by one, when all at once make something worse.
_MOST_TRIED: Final = 20
#: How much text is checked at most, so that no file takes more than a few seconds.
_MOST_CHARACTERS: Final = 500_000


class Step(NamedTuple):
    """One round: the text before it, the edits, and the text after it."""

    before: str
    edits: tuple[Edit, ...]
    after: str


def is_safe(text: str, problems: Sequence[Problem], problem: Problem, fix: Fix) -> bool:
    """Return whether a preferred fix of a problem may be applied to `text` without a look.

    It leaves no more problems than `problems`, which are those of the text, and fewer of its own kind.
    """
    if not fix.preferred:
        return False
    left = check(apply_edits(text, fix.edits)).problems
    return len(left) <= len(problems) and _count(left, problem.code) < _count(problems, problem.code)


def _count(problems: Sequence[Problem], code: str) -> int:
    return sum(problem.code == code for problem in problems)


def steps(text: str, problems: Sequence[Problem] | None = None, more: Sequence[Problem] = ()) -> Iterator[Step]:
    """Yield round after round of safe fixes until none is left.

    `problems` are those of the text where they are known already, `more` others with fixes to apply in the first round.
    """
    found = check(text).problems if problems is None else list(problems)
    seen = {text}
    budget = _MOST_CHARACTERS
    for _ in range(_MOST_ROUNDS):
        fixes = _apart([*found, *more])
        more = ()
        together = tuple(edit for fix in fixes for edit in fix.edits)
        for edits in (together, *(fix.edits for fix in fixes[:_MOST_TRIED] if len(fixes) > 1)):
            after = apply_edits(text, edits)
            budget -= len(after)
            if after in seen or budget < 0:
                continue
            left = check(after).problems
            if len(left) <= len(found):
                yield Step(text, edits, after)
                seen.add(after)
                text, found = after, left
                break
        else:
            return


def fixed(text: str, problems: Sequence[Problem] | None = None, more: Sequence[Problem] = ()) -> str:
    """Return `text` with every safe fix applied; arguments as for `steps`."""
    for step in steps(text, problems, more):
        text = step.after
    return text


def line_edits(before: str, after: str) -> list[Edit]:
    """Return edits of whole lines that turn one text into the other."""
    lines = Lines(before)
    old = [lines.line_with_end(number) for number in range(len(lines))]
    other = Lines(after)
    new = [other.line_with_end(number) for number in range(len(other))]
    edits = []
    for kind, first, last, start, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            edits.append(Edit(Range(_line_start(lines, first), _line_start(lines, last)), "".join(new[start:stop])))
    return edits


def _line_start(lines: Lines, number: int) -> Position:
    last = len(lines) - 1
    return Position(number, 0) if number <= last else Position(last, len(lines.line(last)))


def _apart(problems: Sequence[Problem]) -> list[Fix]:
    """Return the preferred fix of each problem, without those that touch an earlier one."""
    fixes: list[Fix] = []
    taken: list[Edit] = []
    for problem in problems:
        fix = next((fix for fix in problem.fixes if fix.preferred), None)
        if fix is not None and not any(_touch(one, other) for one in fix.edits for other in taken):
            fixes.append(fix)
            taken.extend(fix.edits)
    return fixes


def _touch(one: Edit, other: Edit) -> bool:
    return one.range.start <= other.range.end and other.range.start <= one.range.end
