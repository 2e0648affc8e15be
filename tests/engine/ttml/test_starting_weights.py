"""Fine-tuning on the board: weights that were trained elsewhere are put there before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.engine.ttml.plans import plan
from tests.engine.ttml.test_backend import batch, opened
from trickster_engine.backends.torch.backend import TorchBackend


@pytest.mark.parametrize("stored", [np.float32, np.float16])
@pytest.mark.parametrize(
    "layout", [{}, {"stochastic_rounding": False}, {"state_dict": "none"}, {"fused_qkv": True, "fused_gate_up": True}]
)
def test_a_board_starts_from_weights(double: Callable[..., Any], layout: dict[str, Any], stored: type) -> None:
    double(**layout)
    on_cpu = TorchBackend(plan(), "cpu", "fp32")
    for step in range(12):
        on_cpu.step([batch(seed=step)], 1.0)
    weights: dict[str, Any] = {name: array.astype(stored) for name, array in on_cpu.weights().items()}
    trained = on_cpu.evaluate([batch(seed=20)])
    with opened(plan()) as backend:
        untrained = backend.evaluate([batch(seed=20)])
        backend.load(weights, backend.optimizer_state(), backend.random_state())
        said = {code for code, _, _ in backend.notices()}
        assert not said & {"optimizer-state-lost", "resume-not-bit-for-bit"}  # nothing is resumed, nothing lost
        assert abs(backend.evaluate([batch(seed=20)]) - trained) < abs(untrained - trained) / 20
        before = backend.evaluate([batch(seed=20)])
        backend.step([batch(seed=20)], 0.1)
        assert backend.evaluate([batch(seed=20)]) < before
