"""Runs: their list, training, their events."""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trickster_server.lsp.messages.fields import ConfigValue, Event, JsonValue, RunState, entries, item, items


@dataclass(frozen=True)
class CheckpointInfo:
    """One saved checkpoint of a run."""

    name: str = item("Name of its folder, such as `step-001000`.")
    path: str = item("Its folder: a Hugging Face model directory.")
    step: int = item("The step it was saved after.")
    val_loss: float | None = item("Validation loss, in nats/token.", None)
    best: bool = item("true: the best of the run so far.", False)


@dataclass(frozen=True)
class Notice:
    """A warning or an error of a run."""

    kind: Literal["warning", "error"] = item("After an error the run ends.")
    code: str = item("By which troubleshooting explains it.")
    message: str = item("What happened.")
    advice: str = item("What to do about it.")


@dataclass(frozen=True)
class AgentAction:
    """What an agent, and no person, had done with a run."""

    action: Literal["start", "stop"] = item("What was done.")
    origin: str = item("What the agent calls itself, with its version.")
    step: int = item("The step at which it was done.")


@dataclass(frozen=True)
class Phase:
    """A stretch of training with a name."""

    name: str = item("Such as `Warm-up`.")
    meaning: str = item("What happens in it.")
    begin: int = item("The step it begins at.")
    end: int = item("The step it ends at.")


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """What the events of a run have come to: what changes while it trains."""

    next: int = item("Offset in `events.jsonl` after the last event that this tells of, in bytes.")
    state: RunState = item("Where it stands.")
    live: bool = item("true: a process is training it now.")
    resumable: bool = item("true: `trickster/resumeRun` can go on with it: it was stopped, was interrupted or failed.")
    step: int = item("Steps done.", 0)
    train_loss: float | None = item("Last training loss, in nats/token.", None)
    val_loss: float | None = item("Last validation loss, in nats/token.", None)
    val_step: int | None = item("The step it was measured at; 0 is before training.", None)
    best_val_loss: float | None = item("Lowest validation loss so far.", None)
    evaluations: int | None = item("How often that loss was measured; null: not known yet.", None)
    tokens_per_second: float | None = item("Last measured speed.", None)
    eta_seconds: float | None = item("Expected time to the end; only of a live run.", None)
    seconds: float | None = item(
        "Time of training and evaluating so far, without what lies between a stop and a resume; null: not known yet.",
        None,
    )
    error: str | None = item("The error of a failed run.", None)
    advice: str | None = item("What to do about it.", None)
    error_code: str | None = item("The code of that message, by which troubleshooting explains it.", None)
    notices: list[Notice] = items("The newest warnings, and the error that ended it, oldest first.")
    actions: list[AgentAction] = items("What agents had done with it, oldest first; empty where only people acted.")
    baselines: dict[str, float] = entries(
        "Validation losses of the baselines, in nats/token, by name, such as `uniform`, `bigram`, `7-gram`; only "
        "`uniform` until they are counted."
    )


@dataclass(frozen=True, kw_only=True)
class RunInfo(RunProgress):
    """What a list of runs shows of one run."""

    run_id: str = item("Names the run in every other message: the address of its directory. Show `name` instead.")
    name: str = item("Name of the run directory, such as `pico-001`.")
    run_directory: str = item("The run directory.")
    config_path: str | None = item(
        "The config it was started from; the text trained is `config.yaml` in the directory."
    )
    created: float = item("When it began, in seconds since 1970.")
    max_steps: int | None = item("Steps planned.", None)
    phases: list[Phase] = items("The phases of training, by its plan; empty until that was read.")
    parameters: int | None = item("Weights in the model.", None)
    backend: str | None = item("`torch` or `ttml`.", None)
    device: str | None = item("The device it trains on.", None)
    precision: str | None = item("`fp32` or `bf16`.", None)
    bytes_per_token: float | None = item(
        "Of the validation text: a loss in nats/token, divided by this and by ln 2, is in bits/byte, the same unit for "
        "all tokenizers. null: not known, as in some runs of older versions.",
        None,
    )
    own_text: bool = item("true: trained on a text of the person's own, not on a built-in corpus.", False)
    data: dict[str, JsonValue] = entries("What `run.json` says of the text: size, split, fingerprint.")
    pid: int | None = item("The training process; only of a live run.", None)
    checkpoints: list[CheckpointInfo] = items("Complete checkpoints, oldest first.")


@dataclass(frozen=True)
class ListRunsParams:
    """Nothing is asked; the object is there for what may come."""


@dataclass(frozen=True)
class ListRunsResult:
    """The runs under the folders of the workspace, newest first."""

    runs: list[RunInfo] = item("Live, finished, stopped, failed and interrupted ones.")


@dataclass(frozen=True)
class StartRunParams:
    """Train a config."""

    config_uri: str = item("The config, as saved on disk.")
    python: str | None = item("The interpreter that trains, for this run only.", None)
    overrides: dict[str, ConfigValue] = entries(
        "Values that replace the file's, such as `training_config.max_steps: 200`."
    )


@dataclass(frozen=True)
class RunStarted:
    """The run that is now live."""

    run_id: str = item("Names it in every other message.")
    run_directory: str = item("Its directory.")
    pid: int = item("The training process. It is independent: it continues without client and server.")


@dataclass(frozen=True)
class ResumeRunParams:
    """Go on with a run that is `resumable`, from its newest complete checkpoint, or from step 0 if it has none."""

    run_id: str = item("The run.")
    python: str | None = item("The interpreter that trains, for this run only.", None)


@dataclass(frozen=True)
class StopRunParams:
    """Ask a live run to save and stop, which it does within one step."""

    run_id: str = item("The run.")
    wait: bool = item("true: answer when the run has ended, not when it has been asked.", False)


@dataclass(frozen=True)
class StopRunResult:
    """What became of the question."""

    state: RunState = item("`stopping`, or the state it has ended in.")


@dataclass(frozen=True)
class DeleteRunParams:
    """Remove a run for good: files that a run is known to hold, and checkpoints that carry its own mark.

    What a person has put beside them stays, and so do folders elsewhere that the run's files name but that carry no
    mark of it. A live run is not deleted: stop it first.
    """

    run_id: str = item("The run.")
    dry_run: bool = item("true: only list what would be deleted and what would stay.", False)


@dataclass(frozen=True)
class DeleteRunResult:
    """What was removed, or would be."""

    run_directory: str = item("The run directory.")
    removed: list[str] = item(
        "What is deleted: a file, or a folder with only the run's own content. None of them is a link."
    )
    kept: list[str] = item("What stays, because it may not belong to the run.")


@dataclass(frozen=True)
class RunEventsParams:
    """Read the events of a run, for a chart that was not there from the start."""

    run_id: str = item("The run.")
    after: int = item("Offset to read from: 0, or the `next` of an earlier answer.", 0)
    limit: int | None = item("Maximum number of events, at most 5,000; ask again while `more` is true.", None)


@dataclass(frozen=True)
class RunEventsResult:
    """Events in the order of the file. A line that is still being written is left for the next question."""

    events: list[Event] = item("The events.")
    next: int = item("Offset after the last of them.")
    more: bool = item("true: there were more than `limit`.", False)
