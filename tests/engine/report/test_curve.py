"""Whether a model overfits, and where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickster_engine.evaluation.report.curve import LARGE_GAP, LossPoint, find_overfitting


def test_a_model_that_learns_by_heart_is_found_out() -> None:
    points = [LossPoint(0, 5.5, 5.5), LossPoint(100, 2.0, 2.1), LossPoint(200, 1.5, 1.9), LossPoint(300, 1.0, 2.2)]
    found = find_overfitting(points)
    assert found is not None
    assert found.step == found.best_step == 200
    assert "step 200" in found.words
    assert "memorises" in found.words
    assert abs(found.gap_at_end - 1.2) < 1e-9


def test_losses_that_fall_together_have_not_parted() -> None:
    """The curve of a small model on Shakespeare."""
    found = find_overfitting(
        [
            LossPoint(0, 5.553, 5.545),
            LossPoint(500, 1.552, 1.718),
            LossPoint(1000, 1.39, 1.594),
            LossPoint(1500, 1.261, 1.485),
        ]
    )
    assert found is not None
    assert (found.verdict, found.step) == ("generalises", None)
    assert "No overfitting" in found.words
    assert "0.224 nats above" in found.words
    assert "95% of the fall in training loss carries over" in found.words


def test_a_training_loss_that_runs_away_is_said_to_while_the_held_out_loss_still_falls() -> None:
    points = [LossPoint(0, 5.5, 5.5), LossPoint(100, 2.5, 2.9), LossPoint(200, 1.5, 2.6), LossPoint(300, 0.6, 2.5)]
    found = find_overfitting(points)
    assert found is not None
    assert (found.verdict, found.step, found.best_step) == ("large gap", None, 300)
    assert found.gap_share == pytest.approx(1.9 / 4.9)
    assert "1.900 nats above" in found.words
    assert "39% of the fall in training loss does not carry over" in found.words
    assert "No overfitting" not in found.words
    assert "too early" not in found.words


def test_a_gap_that_was_there_from_the_start_is_no_overfitting() -> None:
    """The held-out text is harder, as its first measurement shows."""
    points = [LossPoint(step, loss, loss + 0.8) for step, loss in ((0, 5.5), (1, 4.0), (2, 3.0), (3, 2.0))]
    found = find_overfitting(points)
    assert found is not None
    assert found.verdict == "generalises"
    assert found.gap_share == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_measurements_are_too_early_to_tell(count: int) -> None:
    points = [LossPoint(0, 5.5, 5.5), LossPoint(100, 2.0, 2.1), LossPoint(200, 1.8, 1.95)][:count]
    found = find_overfitting(points)
    assert found is not None
    assert (found.verdict, found.step) == ("too early", None)
    assert "too early" in found.words
    assert "No overfitting" not in found.words


def test_a_large_gap_is_told_even_from_one_measurement() -> None:
    found = find_overfitting([LossPoint(0, 5.528, 5.502), LossPoint(250, 0.547, 2.236)])
    assert found is not None
    assert found.verdict == "large gap"
    assert "1.689 nats above" in found.words
    assert "too early to say when that began" in found.words


@given(st.lists(st.tuples(st.floats(0.1, 8), st.floats(0.1, 8)), min_size=1, max_size=8))
def test_nothing_has_not_parted_beside_a_large_gap(losses: list[tuple[float, float]]) -> None:
    points = [LossPoint(step, train, held_out) for step, (train, held_out) in enumerate(losses)]
    found = find_overfitting(points)
    assert found is not None
    assert (found.step is not None) == (found.verdict == "overfits")
    if found.verdict == "generalises":
        fallen = points[0].train_loss - points[-1].train_loss
        gap_before = points[0].val_loss - points[0].train_loss
        assert found.gap_at_end - gap_before <= max(0.05, LARGE_GAP * fallen) + 1e-9 or fallen <= 0.05


def test_a_tiny_rise_is_luck() -> None:
    found = find_overfitting(
        [LossPoint(0, 5.5, 5.5), LossPoint(50, 3.0, 3.0), LossPoint(100, 2.0, 2.1), LossPoint(200, 1.9, 2.102)]
    )
    assert found is not None
    assert found.verdict == "generalises"
    assert "No clear overfitting" in found.words
    assert found.step is None
    assert found.best_step == 100


def test_without_an_evaluation_nothing_is_said() -> None:
    assert find_overfitting([]) is None
