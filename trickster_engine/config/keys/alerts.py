"""The keys of `alerts_config`: of what a run warns while it trains."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import key


@dataclass(frozen=True)
class AlertsConfig:
    """`alerts_config`: of what a run warns while it trains.

    An alert is a warning event of the run: the dashboard, VS Code's notifications, `trickster runs` and every tool that
    reads the events show it. It changes nothing about the training, and comes once until what it is about is over.
    """

    loss_stuck_steps: int = key(
        0,
        doc="Alert when the training loss has not fallen for this many steps. 0 switches it off.",
        effect="The loss of single steps goes up and down: choose ten log_intervals or more.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 500, 2000),
    )
    gap_evaluations: int = key(
        0,
        doc="Alert when the generalization gap (validation minus training loss) has grown in this many evaluations in "
        "a row while the validation loss was not at its best. 0 switches it off.",
        effect="That is how overfitting looks: more dropout, more text or fewer steps help.",
        unit="evaluations",
        minimum=0,
        maximum=1_000_000,
        examples=(0, 3, 5),
    )
    slow_below: float = key(
        0.0,
        doc="Alert when the speed falls below this share of the run's own median tokens/s. 0 switches it off.",
        effect="0.5 notices that the speed has halved: another program, a hot processor, a full memory.",
        minimum=0,
        below=1,
        examples=(0.0, 0.5),
    )
    grad_norm_above: float = key(
        0.0,
        doc="Alert when the gradient norm is more than this many times its recent median. 0 switches it off.",
        effect="Norms that explode come before a loss of NaN. The norm is the one before clipping.",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0.0, 10.0, 30.0),
    )
    min_free_gb: float = key(
        0.0,
        doc="Alert when the disk of the checkpoints has less free space than this. 0 switches it off.",
        unit="GB",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0.0, 5.0),
    )
    webhook: str | None = key(
        None,
        doc="An address that each alert is sent to, as JSON in a POST request: https, or http on this machine.",
        effect="A request that fails changes nothing. A command to run at each alert is named "
        "on the command line only: `trickster train --on-alert COMMAND`.",
        default_note="none",
        examples=("https://example.org/hook", "http://127.0.0.1:8080/alerts"),
    )
