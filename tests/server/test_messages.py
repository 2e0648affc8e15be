"""The list of messages: the page and the TypeScript are written from it, and what comes over the wire is held to it."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from pygls.exceptions import JsonRpcInvalidParams
from trickster_server.handlers.commands import params_of
from trickster_server.handlers.inside import _on_the_wire
from trickster_server.lsp import messages
from trickster_server.lsp.messages.fields import item, wire_name
from trickster_server.lsp.messages.inside import InsideHead
from trickster_server.lsp.messages.notifications import EventParams
from trickster_server.lsp.messages.runs import ListRunsParams, RunProgress, RunStarted, StartRunParams
from trickster_server.lsp.wire import WireError, from_wire, to_wire

from tools import protocol_types
from trickster_engine.inference.heads import BEHAVIOURS


@pytest.mark.parametrize("path", protocol_types.outputs(), ids=lambda path: path.name)
def test_page_python_and_typescript_are_equal(path: Any) -> None:
    assert path.read_text(encoding="utf-8") == protocol_types.outputs()[path], "run: make generate"


def test_a_changed_message_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class ListRunsParams:
        """Changed."""

        more: int = item("A new field.", 1)

    requests = tuple(
        one._replace(params=ListRunsParams) if one.method == "trickster/listRuns" else one for one in messages.REQUESTS
    )
    monkeypatch.setattr(messages, "REQUESTS", requests)
    for path in (protocol_types.TYPESCRIPT_PATH, protocol_types.PAGE_PATH):
        assert path.read_text(encoding="utf-8") != protocol_types.outputs()[path]


def test_every_message_is_answered_by_someone() -> None:
    from trickster_server.server import TricksterServer

    server = TricksterServer()
    for request in messages.REQUESTS:
        assert request.method in server.protocol.fm.features
        assert request.command is None or request.command in server.protocol.fm.commands
    for notification in messages.NOTIFICATIONS:
        assert (notification.method in server.protocol.fm.features) == (notification.sender == "client")


def test_names_on_the_wire_are_camel_case() -> None:
    run = RunStarted(run_id="/r", run_directory="/r", pid=1)
    assert to_wire(run) == {"runId": "/r", "runDirectory": "/r", "pid": 1}
    assert from_wire(RunStarted, to_wire(run)) == run


def test_events_are_sent_as_they_stand_in_the_file() -> None:
    event = {"t": 1.5, "kind": "step", "tokens_per_s": 10, "future_field": {"x": [1]}}
    progress = RunProgress(next=9, state="training", live=True, resumable=False)
    assert to_wire(EventParams("/r", 0, 9, [event], progress))["events"] == [event]


@pytest.mark.parametrize("message", list(messages.message_types()), ids=lambda one: one.__name__)
def test_every_message_survives_the_wire(message: type[Any]) -> None:
    value = _example(message)
    assert from_wire(message, to_wire(value)) == value


def _example(message: type[Any]) -> Any:
    hints = typing.get_type_hints(message)
    return message(**{part.name: _example_of(hints[part.name]) for part in dataclasses.fields(message)})


def _example_of(hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _example(typing.cast("type[Any]", hint))
    if origin is list:
        return [_example_of(arguments[0])]
    if origin is dict:
        return {"a.b": _example_of(arguments[1])}
    if origin is typing.Literal:
        return arguments[0]
    if arguments:
        return _example_of(arguments[0])
    return {str: "text", int: 3, float: 0.5, bool: True}.get(hint, "anything")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "expected an object, found a list"),
        ({}, "StartRunParams.configUri is missing"),
        ({"configUri": 3}, "StartRunParams.configUri: expected text, found a whole number"),
        ({"configUri": "file:///a", "overrides": []}, "overrides: expected an object"),
    ],
)
def test_a_wrong_field_is_named(value: Any, words: str) -> None:
    with pytest.raises(WireError, match=words.replace(".", r"\.")):
        from_wire(StartRunParams, value)


def test_unknown_fields_are_passed_over() -> None:
    assert from_wire(ListRunsParams, {"new": 1}) == ListRunsParams()


def test_a_command_takes_a_text_for_its_first_field() -> None:
    (train,) = [one for one in messages.REQUESTS if one.command == "trickster.server.train"]
    assert params_of(train, ["file:///a.yaml"]) == StartRunParams("file:///a.yaml")
    assert params_of(train, [{"configUri": "file:///a.yaml"}]) == StartRunParams("file:///a.yaml")
    with pytest.raises(JsonRpcInvalidParams, match="configUri is missing"):
        params_of(train, [])


def test_the_page_for_other_editors_lists_every_command() -> None:
    page = (protocol_types.REPOSITORY / "docs" / "editors.md").read_text(encoding="utf-8")
    commands = {request.command for request in messages.REQUESTS if request.command is not None}
    listed = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `trickster.server.")}
    assert listed == commands


def test_every_code_has_a_page() -> None:
    import re

    from trickster_server.features.diagnostics import _explanation
    from trickster_server.hints import CODES

    from tools.machine_docs import MACHINE_DOCS
    from tools.problem_docs import PROBLEM_DOCS

    folder = protocol_types.REPOSITORY / "server" / "trickster_server" / "hints"
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    assert set(re.findall(r'Problem\(\s*"([a-z-]+)"', source)) == set(MACHINE_DOCS) == CODES
    for code in (*MACHINE_DOCS, *PROBLEM_DOCS):
        explanation = _explanation(code)
        assert explanation is not None
        page = protocol_types.REPOSITORY / "docs" / explanation.href.rsplit("/", 1)[1].split("#")[0]
        assert re.search(rf"^##+ {code}$", page.read_text(encoding="utf-8"), re.MULTILINE), code


@pytest.mark.parametrize("label", [*BEHAVIOURS, None])
def test_whatever_a_head_does_can_be_sent(label: str | None) -> None:
    scores = dict.fromkeys([*BEHAVIOURS, "entropy"], 0.5)
    head = from_wire(InsideHead, _on_the_wire({"layer": 0, "head": 1, "label": label, **scores}))
    assert to_wire(head)["label"] == (wire_name(label) if label else None)
