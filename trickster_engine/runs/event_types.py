"""The events of a run: the lines of `events.jsonl`, the payload of `trickster/event`, the messages the chart receives.

This module is the only definition: the extension's TypeScript types are generated from it, and every line that is read
is checked against it (`runs/schema.py`). Losses are in nats/token, times in seconds, `t` in unix seconds. A field
that is None could not be known at that moment.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypedDict


class Between(NamedTuple):
    """The least and the greatest value of a number."""

    low: float
    high: float


class AtMost(NamedTuple):
    """The most characters of a text."""

    characters: int


#: A moment: no later than the last day of the year 9999, beyond which no calendar goes.
Moment = Annotated[float, Between(0, 253_402_300_799)]
#: What training computes in 32 bits.
Figure = Annotated[float, Between(-3.4028235e38, 3.4028235e38)]
#: Updates done. JavaScript's numbers are exact up to here.
Step = Annotated[int, Between(0, 2**53 - 1)]
#: The bounds of texts keep a whole line, escapes and all, below `runs.events.LINE_LIMIT`.
Name = Annotated[str, AtMost(1_000)]
Words = Annotated[str, AtMost(60_000)]
Prompt = Annotated[str, AtMost(30_000)]
Written = Annotated[str, AtMost(130_000)]

Status = Literal["starting", "preparing", "training", "evaluating", "stopping", "stopped", "finished", "failed"]

#: Statuses after which the trainer's process ends. Any other last status without a live process means "interrupted".
FINAL_STATUSES: frozenset[str] = frozenset({"stopped", "finished", "failed"})


class StatusEvent(TypedDict):
    """The run entered a new phase. `step` is the number of updates done so far."""

    t: Moment
    kind: Literal["status"]
    status: Status
    step: Step
    message: Words | None


class StepEvent(TypedDict):
    """Progress since the last step event: `loss` and `grad_norm` are means over the updates in between."""

    t: Moment
    kind: Literal["step"]
    step: Step
    loss: Figure
    lr: Figure
    grad_norm: Figure
    tokens_per_s: Figure
    eta_s: Figure | None
    mfu: Figure | None


class EvalEvent(TypedDict):
    """Cross-entropy on the whole validation text, and by the same method on a fixed probe of the training text."""

    t: Moment
    kind: Literal["eval"]
    step: Step
    train_loss: Figure
    val_loss: Figure
    perplexity: float


class BaselinesEvent(TypedDict):
    """The n-gram baselines were counted, beside training: validation losses by name."""

    t: Moment
    kind: Literal["baselines"]
    step: Step
    nats: dict[Name, Figure]


class SampleEvent(TypedDict):
    """Text the model wrote at this step; `text` does not repeat the prompt."""

    t: Moment
    kind: Literal["sample"]
    step: Step
    prompt: Prompt
    text: Written


class CheckpointEvent(TypedDict):
    """A complete checkpoint exists at `path`, which is relative to the run directory unless a config moved it."""

    t: Moment
    kind: Literal["checkpoint"]
    step: Step
    path: Words
    val_loss: Figure | None
    best: bool


class LayersEvent(TypedDict):
    """What each layer does, at an evaluation: figures of `embedding`, of the blocks by number from 0, and of `output`.

    `grad_norm` is the norm of the gradient before clipping and `update_ratio` the norm of the change of the weights
    over that of the weights, both of the update before the evaluation; None before the first. The rest is measured on
    some hundred tokens of training text: `activation_rms` is the root mean square of what a layer puts out,
    `attention_entropy` the entropy of its attention over the greatest that is possible (0: all on one token, 1: evenly
    on all), `dead_neurons` the share of SwiGLU neurons that stay near 0, `effective_rank` the exponential of the
    entropy of the singular values of a block's output (Roy & Vetterli 2007, EUSIPCO). `changed_by_future` is the share
    of predictions that change when only later tokens do. `order` says how much the loss rises, in nats/token, when the
    tokens of the `training` and the `validation` text are shuffled.
    """

    t: Moment
    kind: Literal["layers"]
    step: Step
    grad_norm: dict[Name, Figure] | None
    update_ratio: dict[Name, Figure] | None
    weight_norm: dict[Name, Figure]
    activation_rms: dict[Name, Figure]
    attention_entropy: dict[Name, Figure]
    dead_neurons: dict[Name, Figure]
    effective_rank: dict[Name, Figure]
    changed_by_future: Figure
    order: dict[Name, Figure]


class WarningEvent(TypedDict):
    """Something the person should know; the run goes on."""

    t: Moment
    kind: Literal["warning"]
    code: Name
    message: Words
    advice: Words


class ErrorEvent(TypedDict):
    """Why the run ends."""

    t: Moment
    kind: Literal["error"]
    code: Name
    message: Words
    advice: Words


class ActionEvent(TypedDict):
    """An agent had the run started or stopped. `origin` is what it calls itself; a person's own actions have none."""

    t: Moment
    kind: Literal["action"]
    step: Step
    action: Literal["start", "stop"]
    origin: Name


Event = (
    StatusEvent
    | StepEvent
    | EvalEvent
    | BaselinesEvent
    | SampleEvent
    | CheckpointEvent
    | LayersEvent
    | WarningEvent
    | ErrorEvent
    | ActionEvent
)
