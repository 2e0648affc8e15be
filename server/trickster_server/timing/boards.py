"""The Tenstorrent boards that the lesson names: how long a run would take there, as far as anything is known.

One board has a published run of known shape and length: 3,000 steps of ttml's character model (9,810,816 parameters,
64 sequences of 256 tokens) took 200.74 s on one chip of a p300c. A run of that very shape is a measurement. Everything
else is scaled from it, by the computation of a step and by the chips' peak speeds as `estimates/machines.py` has them
(of QuietBox 2's chips that of the cores that a program gets, as on the one that was measured). Small models may be
slower, because starting work on a chip takes time of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trickster_engine.config.plan import ModelConfig, Plan, TrainingConfig
from trickster_engine.data.amounts import tokens_per_step
from trickster_engine.estimates.compute import count_compute
from trickster_engine.estimates.machines import PEAK_OF_A_P300_PROGRAM, Machine, find_machine
from trickster_server.lsp.messages.fields import EstimateSource

MEASURED_ON = "p300c (one chip)"
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
_SEVERAL_CHIPS = 0.975
"""Share of the ideal speed that several chips reach together; 1.95 and 3.98 times were measured on 2 and 4."""


def boards() -> Iterator[Machine]:
    """The boards, the measured one last."""
    for name in ("n150", "n300", "t3k", "p100a", "p150"):
        yield find_machine(name)
    yield replace(find_machine("quietbox-2"), peak=PEAK_OF_A_P300_PROGRAM)
    yield Machine(MEASURED_ON, "tt", 1, None, PEAK_OF_A_P300_PROGRAM, "tt-metal's published run")


def training_time(board: Machine, plan: Plan) -> tuple[float, EstimateSource]:
    """Seconds for a run on a board, and whether they are a measurement."""
    speed = count_compute(_MEASURED).per_step / _MEASURED_SECONDS_A_STEP * (board.peak or 0.0) / PEAK_OF_A_P300_PROGRAM
    speed *= board.chips * (_SEVERAL_CHIPS if board.chips > 1 else 1.0)
    same = board.name == MEASURED_ON and _shape(plan) == _shape(_MEASURED)
    return count_compute(plan).total / speed, "measured" if same else "estimated"


def _shape(plan: Plan) -> tuple[object, ...]:
    model = plan.model
    widths = (model.vocab_size, model.hidden_dim, model.num_layers, model.num_kv_heads, model.mlp_dim)
    return *widths, tokens_per_step(plan)
