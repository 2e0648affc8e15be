"""The one count of measures."""

from __future__ import annotations

from trickster_engine.evaluation.report.verdict import judge


def test_measures_count_from_four_fifths_of_the_way_on() -> None:
    verdict = judge([1.0, 0.8, 0.79, None, 0.0])
    assert (verdict.near, verdict.of) == (2, 4)
    assert "On 2 of 4 measures" in verdict.words
    assert "80%" in verdict.words


def test_without_a_measure_that_can_tell() -> None:
    assert judge([None]).of == 0
    assert "too close" in judge([]).words
