"""The Tenstorrent boards that the lesson names: how long a run would take there, as far as anything is known.

One board has a published run of known shape and length: 3,000 steps of ttml's character model (9,810,816 parameters,
64 sequences of 256 tokens) took 200.74 s on one chip of a p300c. A run of that very shape is a measurement. Everything
else is scaled from it: by the computation a step takes, and for other chips by their peak speed, as the estimates have
it (of QuietBox 2's chips that of the cores that a program gets, as on the one that was measured). Small models may be
slower, because starting work on a chip takes time of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.plan import ModelConfig, Plan, TrainingConfig
from trickster_engine.estimates.machines import PEAK_OF_A_P300_PROGRAM, find_machine
from trickster_server.features import figures
from trickster_server.lsp.messages import EstimateSource


@dataclass(frozen=True)
class Board:
    """A board, by what it can do at best."""

    name: str
    chips: int
    peak: float
    """Peak of one chip, in operations a second."""


MEASURED_ON = "p300c (one chip)"
_NAMED = ("n150", "n300", "t3k", "p100a", "p150")
BOARDS = (
    *(Board(machine.name, machine.chips, machine.peak or 0.0) for machine in map(find_machine, _NAMED)),
    Board("QuietBox 2", 4, PEAK_OF_A_P300_PROGRAM),
    Board(MEASURED_ON, 1, PEAK_OF_A_P300_PROGRAM),
)
_MEASURED_SECONDS_A_STEP = 200.74 / 3000
_MEASURED = Plan(
    model=ModelConfig(
        vocab_size=96,
        hidden_dim=384,
        num_layers=6,
        num_heads=6,
        num_kv_heads=3,
        mlp_dim=1024,
        max_seq_len=256,
        dropout=0.0,
        tie_embeddings=False,
    ),
    training=TrainingConfig(batch_size=64, gradient_accumulation_steps=1),
)
_TWO_CHIPS = 0.975
"""Share of the ideal speed that several chips reach together; 1.95 and 3.98 times were measured on 2 and 4."""


def training_time(board: Board, plan: Plan) -> tuple[float, EstimateSource]:
    """Seconds for a run on a board, and whether they are a measurement."""
    measured_peak = next(one.peak for one in BOARDS if one.name == MEASURED_ON)
    speed = figures.flops_per_step(_MEASURED) / _MEASURED_SECONDS_A_STEP * board.peak / measured_peak
    speed *= board.chips * (_TWO_CHIPS if board.chips > 1 else 1.0)
    seconds = figures.flops_per_step(plan) * plan.training.max_steps / speed
    same = board.name == MEASURED_ON and _shape(plan) == _shape(_MEASURED)
    return seconds, "measured" if same else "estimated"


def _shape(plan: Plan) -> tuple[object, ...]:
    model = plan.model
    return (
        model.vocab_size,
        model.hidden_dim,
        model.num_layers,
        model.num_kv_heads,
        model.mlp_dim,
        figures.tokens_per_step(plan),
    )
