"""Where training and held-out loss part."""

from __future__ import annotations

from trickster_engine.events import EvalEvent
from trickster_engine.report.curve import LossPoint, find_parting, loss_points


def test_a_model_that_learns_by_heart_is_found_out() -> None:
    points = [LossPoint(0, 5.5, 5.5), LossPoint(100, 2.0, 2.1), LossPoint(200, 1.5, 1.9), LossPoint(300, 1.0, 2.2)]
    parting = find_parting(points)
    assert parting is not None
    assert parting.step == parting.best_step == 200
    assert "step 200" in parting.words
    assert "by heart" in parting.words
    assert abs(parting.gap_at_end - 1.2) < 1e-9


def test_losses_that_fall_together_have_not_parted() -> None:
    parting = find_parting([LossPoint(0, 5.5, 5.5), LossPoint(100, 2.0, 2.1)])
    assert parting is not None
    assert parting.step is None
    assert "have not parted" in parting.words


def test_a_tiny_rise_is_luck() -> None:
    parting = find_parting([LossPoint(0, 5.5, 5.5), LossPoint(100, 2.0, 2.1), LossPoint(200, 1.9, 2.102)])
    assert parting is not None
    assert parting.step is None
    assert parting.best_step == 100


def test_after_a_resume_the_later_evaluation_of_a_step_counts() -> None:
    def evaluated(t: float, step: int, loss: float) -> EvalEvent:
        return EvalEvent(t=t, kind="eval", step=step, train_loss=loss, val_loss=loss, perplexity=1.0)

    points = loss_points([evaluated(1, 0, 5.0), evaluated(2, 10, 4.0), evaluated(3, 10, 3.0)])
    assert [(point.step, point.val_loss) for point in points] == [(0, 5.0), (10, 3.0)]
    assert find_parting([]) is None
