"""Every message between client and server that the Language Server Protocol does not have, in one place.

Standard requests are used wherever the protocol has the thing. What is left is here: requests and notifications named
`trickster/...`, the options a client gives when it starts the server, and the commands of `workspace/executeCommand`.
The page `docs/protocol.md` and the client's `extension/src/protocol.ts` are written from it by
`python -m tools.protocol_types`, and a test fails when either of them is stale.

In Python the fields have Python's names; on the wire they are camelCase (`run_id` is `runId`). The one exception is an
event of a run: it is sent exactly as it stands in `events.jsonl`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from trickster_server.lsp.messages import completing, configs, inside, models, notifications, runs
from trickster_server.lsp.messages.options import InitializationOptions

Does = Literal["only reads", "writes", "removes", "starts a process"]
"""What a request does to the machine. In a folder that is not trusted all but those that only read are refused."""


class Request(NamedTuple):
    """A request of the client, and its answer."""

    method: str
    does: Does
    params: type[Any]
    result: type[Any]
    command: str | None  # the same through workspace/executeCommand
    partial: type[Any] | None


class Notification(NamedTuple):
    """A message without an answer."""

    method: str
    params: type[Any]
    sender: Literal["client", "server"]


def _request(
    name: str,
    does: Does,
    params: type[Any],
    result: type[Any],
    command: str | None = None,
    partial: type[Any] | None = None,
) -> Request:
    named = f"trickster.server.{command}" if command is not None else None
    return Request(f"trickster/{name}", does, params, result, named, partial)


#: Each is `trickster/NAME`; where a command is named at the end, it is also `trickster.server.COMMAND`.
REQUESTS: tuple[Request, ...] = (
    _request("listRuns", "only reads", runs.ListRunsParams, runs.ListRunsResult, "listRuns"),
    _request("startRun", "starts a process", runs.StartRunParams, runs.RunStarted, "train"),
    _request("resumeRun", "starts a process", runs.ResumeRunParams, runs.RunStarted, "resume"),
    _request("stopRun", "writes", runs.StopRunParams, runs.StopRunResult, "stop"),
    _request("deleteRun", "removes", runs.DeleteRunParams, runs.DeleteRunResult, "delete"),
    _request("runEvents", "only reads", runs.RunEventsParams, runs.RunEventsResult),
    _request(
        "generate",
        "starts a process",
        models.GenerateParams,
        models.GenerateResult,
        "generate",
        partial=models.GeneratePart,
    ),
    _request("nextTokens", "starts a process", models.NextTokensParams, models.NextTokensResult),
    _request("complete", "starts a process", models.CompleteParams, models.CompleteResult),
    _request(
        "completeWith",
        "starts a process",
        completing.CompleteWithParams,
        completing.CompleteWithResult,
        "completeWith",
    ),
    _request(
        "stopCompleting",
        "only reads",
        completing.StopCompletingParams,
        completing.StopCompletingResult,
        "stopCompleting",
    ),
    _request("compare", "starts a process", models.CompareParams, models.CompareResult, "compare"),
    _request("report", "starts a process", models.ReportParams, models.ReportResult, "report"),
    _request("inspect", "starts a process", models.InspectParams, models.InspectResult, "inspect"),
    _request("prepare", "starts a process", models.PrepareParams, models.PrepareResult, "prepare"),
    _request("doctor", "starts a process", models.DoctorParams, models.DoctorResult, "doctor"),
    _request("presets", "only reads", configs.PresetsParams, configs.PresetsResult, "presets"),
    _request("createConfig", "writes", configs.CreateConfigParams, configs.CreateConfigResult, "createConfig"),
    _request("describeConfig", "only reads", configs.DescribeConfigParams, configs.DescribeConfigResult),
    _request("inside", "starts a process", inside.InsideParams, inside.InsideResult),
    _request("insideWhatIf", "starts a process", inside.InsideWhatIfParams, inside.InsideWhatIfResult),
    _request("insideEmbedding", "starts a process", inside.InsideEmbeddingParams, inside.InsideEmbeddingResult),
    _request("insideNeuron", "starts a process", inside.InsideNeuronParams, inside.InsideNeuronResult),
    _request("insideHistory", "starts a process", inside.InsideHistoryParams, inside.InsideHistoryResult),
)

NOTIFICATIONS: tuple[Notification, ...] = (
    Notification("trickster/event", notifications.EventParams, "server"),
    Notification("trickster/runsChanged", notifications.RunsChangedParams, "server"),
    Notification("trickster/trustGranted", notifications.TrustGrantedParams, "client"),
    Notification("trickster/interpreterChanged", notifications.InterpreterChangedParams, "client"),
)

PARAMS_BY_METHOD: dict[str, type[Any]] = {
    **{request.method: request.params for request in REQUESTS},
    **{notification.method: notification.params for notification in NOTIFICATIONS},
}


def message_types() -> Iterator[type[Any]]:
    """Every class that is sent or received, each before the ones that hold it, without repetition."""
    seen: set[type[Any]] = set()
    roots: list[Any] = [InitializationOptions]
    for request in REQUESTS:
        roots += [request.params, request.partial, request.result]
    roots += [notification.params for notification in NOTIFICATIONS]
    for root in roots:
        yield from _with_parts(root, seen)


def _with_parts(kind: Any, seen: set[type[Any]]) -> Iterator[type[Any]]:
    if is_dataclass(kind) and isinstance(kind, type):
        if kind in seen:
            return
        seen.add(kind)
        for hint in get_type_hints(kind).values():
            yield from _with_parts(hint, seen)
        yield kind
    for argument in get_args(kind):
        yield from _with_parts(argument, seen)
