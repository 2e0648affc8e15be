"""Every number that a config may hold is one in the 32-bit arithmetic of a model as well."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trickster_engine.config import KEYS, Plan, apply_edits, check
from trickster_engine.config.keys import SECTIONS

NUMBERS = [path for path, key in KEYS.items() if key.type == "number"]
#: What is tried for each key: where 32 bits end, and what lies at the ends of its own range.
TRIED = [0.0, 5e-324, 1e-320, 1e-300, 1e-40, 1.2e-38, 1e-30, 1e-13, 1e-6, 0.5, 1 - 2**-53, 1 - 1e-9, 1.0]
TRIED += [3.4e38, 3.5e38, 1e39, 1e300, 1.79e308]


def _value(plan: Plan, path: str) -> float:
    section, name = path.split(".")
    return float(getattr(getattr(plan, SECTIONS[section].attribute), name))


def _given(path: str, value: float) -> str:
    section, name = path.split(".")
    return f"{section}:\n  {name}: {value!r}\n"


@pytest.mark.parametrize("path", NUMBERS)
def test_what_is_accepted_is_the_same_kind_of_number_in_32_bits(path: str) -> None:
    key = KEYS[path]
    ends = [end for end in (key.minimum, key.above, key.below, key.maximum) if end is not None]
    near = [math.nextafter(end, towards) for end in ends for towards in (-math.inf, math.inf)]
    accepted = 0
    for value in [*TRIED, *(-value for value in TRIED), *ends, *near]:
        text = _given(path, value)
        result = check(text)
        complaints = [problem for problem in result.problems if problem.code == "out-of-range"]
        if complaints:
            for fix in complaints[0].fixes:
                assert "out-of-range" not in [each.code for each in check(apply_edits(text, fix.edits)).problems]
            continue
        accepted += 1
        with np.errstate(over="ignore"):
            single = np.float32(value)
        assert np.isfinite(single), value
        assert (single == 0) == (value == 0), value
        assert value == 0 or abs(single) >= np.finfo(np.float32).tiny, value
        assert key.below is None or single < key.below, value
        assert key.above is None or single > key.above, value
        if result.plan is not None:
            assert _value(result.plan, path) == value
    assert accepted > 1


@pytest.mark.parametrize("path", NUMBERS)
def test_a_number_key_has_a_range_on_both_sides(path: str) -> None:
    key = KEYS[path]
    assert key.minimum is not None or key.above is not None
    assert key.maximum is not None or key.below is not None


@pytest.mark.parametrize("written", ["0.99999999999", "0.9999999999999999"])
def test_a_number_that_32_bits_take_for_1_is_told_so(written: str) -> None:
    [problem] = check(f"training_config:\n  beta2: {written}\n").problems
    assert "less than 1 in 32-bit numbers" in problem.message
    assert [fix.title for fix in problem.fixes] == ["Write 0.999999"]


def test_a_number_that_32_bits_take_for_nothing_is_told_so() -> None:
    [problem] = [p for p in check("training_config:\n  grad_clip: 1e-320\n").problems if p.code == "out-of-range"]
    assert "cannot hold" in problem.message
    assert [fix.title for fix in problem.fixes] == ["Write 0.0"]
