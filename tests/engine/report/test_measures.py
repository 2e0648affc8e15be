"""The questions asked of a text, on texts whose answers are known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import dialogue
from trickster_engine.evaluation.report.measures import MEASURES, Reference, measure_text
from trickster_engine.evaluation.report.nearness import measure_windows, measures_that_apply, nearness

PLAY = dialogue(60_000)
REFERENCE = Reference.of(PLAY[:50_000])
BY_KEY = {measure.key: measure for measure in MEASURES}


def noise(length: int) -> str:
    chooser = random.Random(5)
    return "".join(chr(chooser.randrange(32, 500)) for _ in range(length))


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("spaced-marks", "one, two. three,four", 2 / 3),
        ("marks", "ab,c. de!f", 30.0),
        ("word-length", "cut into four pieces h", (4 + 4 + 6) / 3),
        ("old-words", " thou art here now ", 50.0),
        ("capital-lines", "x\nOne\ntwo\nThree\n9\n\n", 2 / 3),
        ("capital-sentences", "He came. She went! and so on? Yes. No.", 3 / 4),
        ("line-length", "cut\nfour\nsixsix\ncu", 5.0),
        ("closed", '("a") [b "c', 2 / 4),
        ("closed", "a) (b)", 1 / 2),
        ("speeches", "cut\n\nKING:\nWhat?\n\nNo name here.\n\nGHOST:\nI.", 2 / 3),
        ("known-speakers", "cut\n\nKING:\nWhat?\n\nHAMLET:\nI.", 1 / 2),
        ("answers", "cut\n\nKING:\na\n\nKING:\nb\n\nGHOST:\nc", 1 / 2),
    ],
)
def test_known_answers(key: str, text: str, expected: float) -> None:
    assert BY_KEY[key].of(text, REFERENCE) == pytest.approx(expected)


@pytest.mark.parametrize("key", [measure.key for measure in MEASURES])
def test_nothing_to_ask_of_an_empty_text(key: str) -> None:
    assert BY_KEY[key].of("", REFERENCE) in (None, 0.0)


@given(st.text(max_size=300))
def test_every_text_has_answers_in_range(text: str) -> None:
    for key, value in measure_text(text, REFERENCE).items():
        assert value is None or value >= 0
        if BY_KEY[key].unit == "share":
            assert value is None or value <= 1 + 1e-9


def test_real_text_is_told_from_noise_on_every_level() -> None:
    held_out = PLAY[50_000:]
    real, other = measure_windows(held_out, 4000, REFERENCE).mean, measure_text(noise(4000), REFERENCE)
    for key in ("letters", "pairs", "alphabet", "real-words"):
        assert (other[key] or 0.0) < 0.4
        assert (real[key] or 0.0) > 0.8
    assert real["speeches"] == pytest.approx(1.0)
    assert other["speeches"] is None


def test_what_belongs_to_plays_is_asked_of_plays_only() -> None:
    assert {"speeches", "answers", "old-words"} <= {
        m.key for m in measures_that_apply(measure_windows(PLAY, 4000, REFERENCE).mean)
    }
    prose = ("The train was late again. We waited on the platform, cold and tired; nobody spoke.\n\n") * 200
    reference = Reference.of(prose)
    asked = {m.key for m in measures_that_apply(measure_windows(prose, 4000, reference).mean)}
    assert not asked & {"speeches", "answers", "known-speakers", "old-words"}
    assert {"letters", "real-words", "line-length"} <= asked


def test_a_short_window_is_judged_by_short_windows() -> None:
    """Few letters never have the frequencies of many, so that samples must be compared with text of their length."""
    short, long = (measure_windows(PLAY[50_000:], length, REFERENCE).mean["pairs"] for length in (100, 4000))
    assert short is not None
    assert long is not None
    assert short < long - 0.1


@pytest.mark.parametrize(
    ("key", "value", "start", "real", "expected"),
    [
        ("line-length", 100.0, 100.0, 40.0, 0.0),
        ("line-length", 40.0, 100.0, 40.0, 1.0),
        ("line-length", 70.0, 100.0, 40.0, 0.5),
        ("line-length", 10.0, 100.0, 40.0, 0.5),  # too short is as wrong as too long
        ("real-words", 0.99, 0.1, 0.9, 1.0),  # more real words than real text has are no fault
        ("real-words", None, 0.1, 0.9, 0.0),
        ("real-words", 0.9, 0.9, 0.9, None),
        ("speeches", 0.5, None, 1.0, 0.5),
    ],
)
def test_nearness(key: str, value: float | None, start: float | None, real: float, expected: float | None) -> None:
    assert nearness(BY_KEY[key], value, start, real) == (None if expected is None else pytest.approx(expected))
