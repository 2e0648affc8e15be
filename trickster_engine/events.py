"""The events of a run: the lines of `events.jsonl`, the payload of `trickster/event`, the messages the chart receives.

This module is the only definition; the extension's TypeScript types are generated from it. Losses are in nats a token,
times in seconds, `t` in unix seconds. A field that is None could not be known at that moment.
"""

from __future__ import annotations

from typing import Literal, TypedDict

Status = Literal["starting", "preparing", "training", "evaluating", "stopping", "stopped", "finished", "failed"]

#: Statuses after which the trainer's process ends. Any other last status without a live process means "interrupted".
FINAL_STATUSES: frozenset[str] = frozenset({"stopped", "finished", "failed"})


class StatusEvent(TypedDict):
    """The run entered a new phase. `step` is the number of updates done so far."""

    t: float
    kind: Literal["status"]
    status: Status
    step: int
    message: str | None


class StepEvent(TypedDict):
    """Progress since the last step event: `loss` and `grad_norm` are means over the updates in between."""

    t: float
    kind: Literal["step"]
    step: int
    loss: float
    lr: float
    grad_norm: float
    tokens_per_s: float
    eta_s: float | None
    mfu: float | None


class EvalEvent(TypedDict):
    """Cross-entropy on the whole validation text, and by the same method on a fixed probe of the training text."""

    t: float
    kind: Literal["eval"]
    step: int
    train_loss: float
    val_loss: float
    perplexity: float


class SampleEvent(TypedDict):
    """Text the model wrote at this step; `text` does not repeat the prompt."""

    t: float
    kind: Literal["sample"]
    step: int
    prompt: str
    text: str


class CheckpointEvent(TypedDict):
    """A complete checkpoint exists at `path`, which is relative to the run directory unless a config moved it."""

    t: float
    kind: Literal["checkpoint"]
    step: int
    path: str
    val_loss: float | None
    best: bool


class WarningEvent(TypedDict):
    """Something the person should know; the run goes on."""

    t: float
    kind: Literal["warning"]
    code: str
    message: str
    advice: str


class ErrorEvent(TypedDict):
    """Why the run ends."""

    t: float
    kind: Literal["error"]
    code: str
    message: str
    advice: str


Event = StatusEvent | StepEvent | EvalEvent | SampleEvent | CheckpointEvent | WarningEvent | ErrorEvent
