"""Every message between client and server that the Language Server Protocol does not have, in one place.

Standard requests are used wherever the protocol has the thing. What is left is here: requests and notifications named
`trickster/...`, the options a client gives when it starts the server, and the commands of `workspace/executeCommand`.
The page `docs/protocol.md` and the client's `extension/src/protocol.ts` are written from this file by
`python -m tools.protocol_types`, and a test fails when either of them is stale.

In Python the fields have Python's names; on the wire they are camelCase (`run_id` is `runId`). The one exception is an
event of a run: it is sent exactly as it stands in `events.jsonl`.
"""

# ruff: noqa: RUF009 - item(), items() and entries() make dataclass fields; they only add the line of documentation.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from enum import IntEnum
from typing import Annotated, Any, Literal, NamedTuple


class TypeScriptName(NamedTuple):
    """The name of the TypeScript type that stands for an annotated Python type."""

    name: str


Event = Annotated[dict[str, Any], TypeScriptName("RunEvent")]
"""One line of `events.jsonl`, as it stands there; `trickster_engine.runs.event_types` says what the kinds are."""

JsonValue = Annotated[Any, TypeScriptName("unknown")]
"""Any JSON value."""

ConfigValue = Annotated[Any, TypeScriptName("ConfigValue")]
"""A value in a config: text, a number, true or false, null, or a list of those."""

ProgressToken = Annotated[int | str, TypeScriptName("string | number")]
"""A token of the protocol's own `$/progress`, chosen by the client."""

RunState = Literal[
    "starting",
    "preparing",
    "training",
    "evaluating",
    "stopping",
    "stopped",
    "finished",
    "failed",
    "interrupted",
]
"""Where a run stands. The first five are live; `interrupted` means that the process is gone and did not say goodbye."""

EstimateSource = Literal["measured", "estimated"]
"""`measured`: taken from runs on this machine. `estimated`: computed, never seen."""


def item(doc: str, default: Any = MISSING) -> Any:
    """A field of a message, with one line that says what it is."""
    if default is MISSING:
        return field(metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


def items(doc: str) -> Any:
    """A field that holds a list, empty when left out."""
    return field(default_factory=list, metadata={"doc": doc})


def entries(doc: str) -> Any:
    """A field that holds an object, empty when left out."""
    return field(default_factory=dict, metadata={"doc": doc})


# ---------------------------------------------------------------------------------------------------------------------
# What a client says when it starts the server
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InitializationOptions:
    """`initializationOptions` of `initialize`; every field may be left out."""

    trusted: bool = item(
        "true: the person trusts the folder. Left out, false or anything else: the server checks and explains files, "
        "and starts no process, writes no file and removes none.",
        False,
    )
    python: str | None = item(
        "The interpreter that trains; it may differ from the server's. Left out: the server's own.", None
    )
    client_commands: bool = item(
        "true: code lenses name the client's commands (`trickster.train`), not the server's, and Train, Stop and the "
        "like are not offered among the code actions.",
        False,
    )
    notifications: bool = item(
        "true: `trickster/event` and `trickster/runsChanged` are sent. The experimental capability "
        '`{"trickster": {"notifications": true}}` says the same. Left out: they are not, and no editor warns of them.',
        False,
    )
    images: bool = item(
        "true: Markdown may hold images as `data:` addresses; hovers then draw the learning rate.", False
    )
    calibrate: bool = item(
        "true: this machine may be calibrated, once, in the background and for some seconds, when a config is open and "
        "nothing trains. Estimates then know how long any config takes here.",
        False,
    )
    following: dict[str, int] = entries(
        "For each run the client knows: the `next` it has seen last. The server goes on from there, so that after a "
        "restart no event is lost or doubled."
    )
    debounce_ms: int = item("How long after the last keystroke a file is checked, in milliseconds.", 100)


# ---------------------------------------------------------------------------------------------------------------------
# Runs
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CheckpointInfo:
    """One saved checkpoint of a run."""

    name: str = item("Name of its folder, such as `step-001000`.")
    path: str = item("Its folder: a Hugging Face model directory.")
    step: int = item("The step it was saved after.")
    val_loss: float | None = item("Validation loss, in nats/token.", None)
    best: bool = item("true: the best of the run so far.", False)


@dataclass(frozen=True)
class RunInfo:
    """What a list of runs shows of one run."""

    run_id: str = item("Names the run in every other message: the address of its directory. Show `name` instead.")
    name: str = item("Name of the run directory, such as `pico-001`.")
    run_directory: str = item("The run directory.")
    config_path: str | None = item(
        "The config it was started from; the text trained is `config.yaml` in the directory."
    )
    state: RunState = item("Where it stands.")
    live: bool = item("true: a process is training it now.")
    created: float = item("When it began, in seconds since 1970.")
    next: int = item("Offset in `events.jsonl` after the last event read, in bytes.")
    step: int = item("Steps done.", 0)
    max_steps: int | None = item("Steps planned.", None)
    train_loss: float | None = item("Last training loss, in nats/token.", None)
    val_loss: float | None = item("Last validation loss, in nats/token.", None)
    val_step: int | None = item("The step it was measured at; 0 is before training.", None)
    best_val_loss: float | None = item("Lowest validation loss so far.", None)
    tokens_per_second: float | None = item("Last measured speed.", None)
    eta_seconds: float | None = item("Expected time to the end; only of a live run.", None)
    parameters: int | None = item("Weights in the model.", None)
    backend: str | None = item("`torch` or `ttml`.", None)
    device: str | None = item("The device it trains on.", None)
    precision: str | None = item("`fp32` or `bf16`.", None)
    baselines: dict[str, float] = entries(
        "Validation losses of the baselines, in nats/token, by name, such as `uniform`, `bigram`, `trigram`."
    )
    data: dict[str, JsonValue] = entries("What `run.json` says of the text: size, split, fingerprint.")
    pid: int | None = item("The training process; only of a live run.", None)
    error: str | None = item("The error of a failed run.", None)
    advice: str | None = item("What to do about it.", None)
    error_code: str | None = item("The code of that message, by which troubleshooting explains it.", None)
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
    """Go on with a run that was stopped or interrupted, from its newest complete checkpoint."""

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


# ---------------------------------------------------------------------------------------------------------------------
# Using a model
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is drawn; a field left out takes the run's own value."""

    max_new_tokens: int | None = item("How many tokens to generate.", None)
    temperature: float | None = item("0 is greedy; 1 samples the model's own probabilities.", None)
    top_k: int | None = item("Sample only from the k likeliest tokens; 0 = off.", None)
    top_p: float | None = item(
        "Sample only from the likeliest tokens that together have this probability; 1 = off.", None
    )
    repetition_penalty: float | None = item("Makes tokens already used less likely; 1 = off.", None)
    seed: int | None = item("The same seed gives the same text.", None)


@dataclass(frozen=True)
class TokenProbability:
    """One bar of the playground."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    probability: float = item("Between 0 and 1.")


@dataclass(frozen=True)
class GenerateParams:
    """Write text with a model. Cancel with the protocol's own `$/cancelRequest`."""

    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    prompt: str | None = item("The text to continue; omitted: the run's own prompt.", None)
    sampling: SamplingOptions | None = item("Sampling settings.", None)
    probabilities: int = item("Report this many of the likeliest tokens for each sampled one; 0 = none.", 0)
    python: str | None = item("The interpreter that runs the model.", None)
    partial_result_token: ProgressToken | None = item("The text is streamed to this token as `GeneratePart`.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class GeneratedToken:
    """One drawn token, when probabilities were asked for."""

    id: int = item("The token's number in the vocabulary.")
    text: str = item("Its text.")
    probability: float = item("Its probability, before temperature, top-k and top-p.")
    alternatives: list[TokenProbability] = item("The most likely ones, highest first.")


@dataclass(frozen=True)
class GeneratePart:
    """The value of a `$/progress` of `partialResultToken`: the text that has come since the last one."""

    text: str = item("To be appended to the text so far.")
    tokens: list[GeneratedToken] = items("The tokens of this part, if probabilities were requested.")


@dataclass(frozen=True)
class GenerateResult:
    """The finished text. After parts have been sent, `text` is still the whole of it."""

    text: str = item("The generated text, without the prompt.")
    prompt: str = item("The prompt used.")
    checkpoint: str = item("The checkpoint used.")
    step: int | None = item("The step it was saved after.")
    tokens: int = item("Tokens written.")
    seconds: float = item("Time it took, without loading the model.")


@dataclass(frozen=True)
class NextTokensParams:
    """What the model believes comes next: the bars of the playground."""

    text: str = item("The text so far.")
    run_id: str | None = item("The run whose newest checkpoint is used.", None)
    checkpoint: str | None = item("Or a checkpoint's folder.", None)
    count: int = item("How many bars.", 10)
    sampling: SamplingOptions | None = item("Show the probabilities after temperature, top-k and top-p.", None)
    python: str | None = item("The interpreter that runs the model.", None)


@dataclass(frozen=True)
class NextTokensResult:
    """The most likely tokens, highest first."""

    tokens: list[TokenProbability] = item("The bars.")
    checkpoint: str = item("The checkpoint used.")
    entropy: float = item("Entropy of the next token, in nats; ln of the vocabulary's size is a uniform prediction.")


@dataclass(frozen=True)
class CompareParams:
    """The proof of learning: the trained model beside one with random weights, and the table of losses."""

    run_id: str = item("The run.")
    python: str | None = item("The interpreter that runs the models.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class CompareResult:
    """What `trickster compare` prints."""

    report: str = item("The same, as text to show.")
    data: JsonValue = item("What `trickster compare --json` prints.")


@dataclass(frozen=True)
class ReportParams:
    """What a run has learned and what not: the page that `trickster report` writes into its directory."""

    run_id: str = item("A run that has saved a checkpoint.")
    python: str | None = item("The interpreter that runs the model.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class ReportResult:
    """Where the page is. It is made again only where the run has gone on since."""

    path: str = item("The page: one HTML file that loads and runs nothing.")
    data: JsonValue = item("What `trickster report --json` prints; null if the page already existed.", None)


@dataclass(frozen=True)
class InspectParams:
    """The model of a config, before it is trained: parameters by part, shapes, a sample of noise."""

    config_uri: str = item("The config.")
    python: str | None = item("The interpreter that builds the model.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class InspectResult:
    """What `trickster inspect` prints."""

    report: str = item("The same, as text to show.")
    data: JsonValue = item("What `trickster inspect --json` prints.")
    page: str = item("The same with the picture of the architecture, as an HTML page that loads and runs nothing.")


@dataclass(frozen=True)
class PrepareParams:
    """Fetch and encode the corpus of a config."""

    config_uri: str = item("The config.")
    python: str | None = item("The interpreter that prepares.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class PrepareResult:
    """What `trickster prepare` prints."""

    report: str = item("The same, as text to show.")
    data: JsonValue = item("What `trickster prepare --json` prints.")


@dataclass(frozen=True)
class DoctorParams:
    """Which devices and packages the training interpreter has."""

    python: str | None = item("The interpreter to check.", None)
    work_done_token: ProgressToken | None = item("Progress is reported to this token.", None)


@dataclass(frozen=True)
class DoctorResult:
    """What `trickster doctor` prints."""

    python: str = item("The interpreter checked.")
    report: str = item("The findings, as text to show.")
    data: JsonValue = item("What `trickster doctor --json` prints.")


# ---------------------------------------------------------------------------------------------------------------------
# Configs
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PresetInfo:
    """One of the configs that come with Trickster."""

    name: str = item("Such as `pico`.")
    description: str = item("One line.")
    parameters: int = item("Weights in the model.")
    text: str = item("The YAML.")
    estimated_seconds: float | None = item("Expected training time on this machine.", None)
    estimate_source: EstimateSource | None = item("Where that figure comes from.", None)


@dataclass(frozen=True)
class PresetsParams:
    """Nothing is asked; the object is there for what may come."""


@dataclass(frozen=True)
class PresetsResult:
    """The presets, smallest first."""

    presets: list[PresetInfo] = item("The presets.")


@dataclass(frozen=True)
class CreateConfigParams:
    """Write a preset's YAML into a new file."""

    preset: str = item("Its name.")
    folder_uri: str = item("The folder to write into.")
    file_name: str | None = item("Omitted: `<preset>.trickster.yaml`, numbered if that exists.", None)


@dataclass(frozen=True)
class CreateConfigResult:
    """The new file."""

    uri: str = item("Its address.")


@dataclass(frozen=True)
class DescribeConfigParams:
    """The figures of a config, as the editor has it, saved or not."""

    config_uri: str = item("The config.")


@dataclass(frozen=True)
class DescribeConfigResult:
    """What can be said about a config without training it; null where an error in the file prevents it."""

    valid: bool = item("true: no error in the file.")
    errors: int = item("Problems that prevent training.")
    warnings: int = item("Problems that do not.")
    parameters: int | None = item("Weights in the model.", None)
    max_steps: int | None = item("Steps planned.", None)
    tokens_per_step: int | None = item("Tokens the optimizer sees in one step.", None)
    epochs: float | None = item("Epochs of the training text, where its size is known.", None)
    train_tokens: int | None = item("Tokens of training text, where known.", None)
    val_tokens: int | None = item("Tokens of validation text, where known.", None)
    corpus_present: bool | None = item("true: the text is on this machine.", None)
    corpus: str | None = item("The corpus, as written in the file.", None)
    prepared: bool | None = item("true: it is already tokenized; null: not known.", None)
    uniform_loss: float | None = item("Uniform-prediction loss, ln of the vocabulary's size, in nats/token.", None)
    estimated_seconds: float | None = item("Expected training time on this machine.", None)
    estimate_source: EstimateSource | None = item("Where that figure comes from.", None)
    output_directory: str | None = item("Where its runs are written.", None)
    run_ids: list[str] = items("The runs started from this file, newest first.")


# ---------------------------------------------------------------------------------------------------------------------
# Notifications
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EventParams:
    """New events of a live run; at most ten of these a second a run.

    `after` of one is `next` of the one before it. A client that finds a gap asks `trickster/runEvents`; one that finds
    `next` no further than what it has drops the message.
    """

    run_id: str = item("The run.")
    after: int = item("Offset in `events.jsonl` before the first of these events, in bytes.")
    next: int = item("Offset after the last of them.")
    events: list[Event] = item("The events, as in the file.")


@dataclass(frozen=True)
class RunsChangedParams:
    """A run has appeared, changed its state, saved a checkpoint, or gone."""

    runs: list[RunInfo] = item("The whole list, newest first.")


@dataclass(frozen=True)
class TrustGrantedParams:
    """The person has decided to trust the folder: every request is answered from now on."""


@dataclass(frozen=True)
class InterpreterChangedParams:
    """The person has chosen another interpreter."""

    python: str | None = item("The interpreter that trains from now on; null: the server's own.")


# ---------------------------------------------------------------------------------------------------------------------
# The list
# ---------------------------------------------------------------------------------------------------------------------


Does = Literal["only reads", "writes", "removes", "starts a process"]
"""What a request does to the machine. In a folder that is not trusted all but those that only read are refused."""


class Request(NamedTuple):
    """A request of the client, and its answer."""

    method: str
    does: Does
    params: type[Any]
    result: type[Any]
    command: str | None = None  # the same through workspace/executeCommand
    partial: type[Any] | None = None


class Notification(NamedTuple):
    """A message without an answer."""

    method: str
    params: type[Any]
    sender: Literal["client", "server"]


REQUESTS: tuple[Request, ...] = (
    Request("trickster/listRuns", "only reads", ListRunsParams, ListRunsResult, "trickster.server.listRuns"),
    Request("trickster/startRun", "starts a process", StartRunParams, RunStarted, "trickster.server.train"),
    Request("trickster/resumeRun", "starts a process", ResumeRunParams, RunStarted, "trickster.server.resume"),
    Request("trickster/stopRun", "writes", StopRunParams, StopRunResult, "trickster.server.stop"),
    Request("trickster/deleteRun", "removes", DeleteRunParams, DeleteRunResult, "trickster.server.delete"),
    Request("trickster/runEvents", "only reads", RunEventsParams, RunEventsResult),
    Request(
        "trickster/generate",
        "starts a process",
        GenerateParams,
        GenerateResult,
        "trickster.server.generate",
        partial=GeneratePart,
    ),
    Request("trickster/nextTokens", "starts a process", NextTokensParams, NextTokensResult),
    Request("trickster/compare", "starts a process", CompareParams, CompareResult, "trickster.server.compare"),
    Request("trickster/report", "starts a process", ReportParams, ReportResult, "trickster.server.report"),
    Request("trickster/inspect", "starts a process", InspectParams, InspectResult, "trickster.server.inspect"),
    Request("trickster/prepare", "starts a process", PrepareParams, PrepareResult, "trickster.server.prepare"),
    Request("trickster/doctor", "starts a process", DoctorParams, DoctorResult, "trickster.server.doctor"),
    Request("trickster/presets", "only reads", PresetsParams, PresetsResult, "trickster.server.presets"),
    Request(
        "trickster/createConfig", "writes", CreateConfigParams, CreateConfigResult, "trickster.server.createConfig"
    ),
    Request("trickster/describeConfig", "only reads", DescribeConfigParams, DescribeConfigResult),
)

NOTIFICATIONS: tuple[Notification, ...] = (
    Notification("trickster/event", EventParams, "server"),
    Notification("trickster/runsChanged", RunsChangedParams, "server"),
    Notification("trickster/trustGranted", TrustGrantedParams, "client"),
    Notification("trickster/interpreterChanged", InterpreterChangedParams, "client"),
)

PARAMS_BY_METHOD: dict[str, type[Any]] = {
    **{request.method: request.params for request in REQUESTS},
    **{notification.method: notification.params for notification in NOTIFICATIONS},
}

CLIENT_COMMANDS: dict[str, str] = {
    "train": "trickster.train",
    "resume": "trickster.resume",
    "stop": "trickster.stop",
    "generate": "trickster.generate",
    "inspect": "trickster.inspect",
    "prepare": "trickster.prepare",
    "compare": "trickster.compare",
}
"""What code lenses call where the client has said `clientCommands`, with the arguments of the server's commands."""


class ErrorCode(IntEnum):
    """Codes of the errors that requests may answer with, beside those of the protocol itself."""

    NOT_TRUSTED = 1001
    UNKNOWN_RUN = 1002
    RUN_IS_LIVE = 1003
    CONFIG_HAS_ERRORS = 1004
    ENGINE_FAILED = 1005
    NO_TORCH = 1006
    NO_CHECKPOINT = 1007
    NO_INTERPRETER = 1008
    FILE_EXISTS = 1009


ERROR_MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.NOT_TRUSTED: "The folder is not trusted: nothing is started, written or deleted.",
    ErrorCode.UNKNOWN_RUN: "The workspace has no run of this name.",
    ErrorCode.RUN_IS_LIVE: "The run is being trained: stop it first.",
    ErrorCode.CONFIG_HAS_ERRORS: "The config has errors; the Problems list shows them.",
    ErrorCode.ENGINE_FAILED: "The process ended with an error; the message says which. `data.errorCode` is its code.",
    ErrorCode.NO_TORCH: "The interpreter has no torch: set up an environment or choose another interpreter.",
    ErrorCode.NO_CHECKPOINT: "The run has saved no checkpoint yet.",
    ErrorCode.NO_INTERPRETER: "The interpreter does not start.",
    ErrorCode.FILE_EXISTS: "A file of this name already exists; nothing was written.",
}


def wire_name(python_name: str) -> str:
    """The name of a field on the wire: `run_id` is `runId`."""
    head, *rest = python_name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def message_types() -> Iterator[type[Any]]:
    """Every class that is sent or received, each before the ones that hold it, without repetition."""
    seen: set[type[Any]] = set()
    roots: list[type[Any]] = [InitializationOptions]
    for request in REQUESTS:
        roots += [request.params, *([request.partial] if request.partial else []), request.result]
    roots += [notification.params for notification in NOTIFICATIONS]
    for root in roots:
        yield from _with_parts(root, seen)


def _with_parts(message: type[Any], seen: set[type[Any]]) -> Iterator[type[Any]]:
    if message in seen:
        return
    seen.add(message)
    for part in fields(message):
        for name, candidate in list(globals().items()):
            # The annotations are text (postponed evaluation), so a nested class is found by its name in them.
            if isinstance(candidate, type) and hasattr(candidate, "__dataclass_fields__"):
                words = str(part.type).replace("[", " ").replace("]", " ").replace("|", " ").replace(",", " ").split()
                if name in words:
                    yield from _with_parts(candidate, seen)
    yield message
