"""Clients that can little: they are sent what they have declared, and still learn everything in time."""

from __future__ import annotations

import queue
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trickster_server.lsp.plain_text import plain_text

from tests.server.raw_client import RawClient
from trickster_engine.config import preset_text, set_values

PULLS: dict[str, Any] = {"textDocument": {"diagnostic": {}}}
LITERALS = {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix"]}}}
ALL = {"start": {"line": 0, "character": 0}, "end": {"line": 999, "character": 0}}


def start(folder: Path, capabilities: dict[str, Any], **options: Any) -> RawClient:
    cache = {"TRICKSTER_CACHE_DIR": str(folder / "cache"), "TRICKSTER_CORPUS_DIR": ""}
    client = RawClient(env=cache, capabilities=capabilities)
    client.initialize(folder, {"debounceMs": 0, "notifications": False, **options})
    return client


def config(folder: Path, **changes: str) -> tuple[str, str]:
    text = set_values(preset_text("pico"), {"data_config.corpus": "not-here.txt", **changes})
    path = folder / "x.trickster.yaml"
    path.write_text(text, encoding="utf-8")
    return path.as_uri(), text


def pull(client: RawClient, uri: str) -> set[str]:
    answer = client.request("textDocument/diagnostic", {"textDocument": {"uri": uri}})
    return {one["code"] for one in answer["items"]}


def received(client: RawClient) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield client.notifications.get_nowait()
        except queue.Empty:
            return


@pytest.mark.parametrize("device", ["auto", "tt"])
def test_the_first_pull_knows_what_the_machine_says(tmp_path: Path, device: str) -> None:
    uri, text = config(tmp_path, **{"device_config.device_type": device})
    with start(tmp_path, PULLS) as client:
        client.open(uri, text)
        found = pull(client, uri)
        assert "corpus-not-found" in found
        assert ("device-not-here" in found) == (device == "tt")


def test_a_pull_after_a_change_is_about_the_text_as_it_is_now(tmp_path: Path) -> None:
    """Nobody will ask this client to pull again, so a finding about the text before would stay."""
    uri, text = config(tmp_path)
    (tmp_path / "here.txt").write_text("ROMEO: to be or not to be " * 200, encoding="utf-8")
    with start(tmp_path, PULLS) as client:
        client.open(uri, text)
        assert "corpus-not-found" in pull(client, uri)
        client.change(uri, 2, [{"text": text.replace("not-here.txt", "here.txt")}])
        assert "corpus-not-found" not in pull(client, uri)


@pytest.mark.parametrize("event", ["didSave", "didChangeWatchedFiles"])
def test_what_has_come_since_is_pushed_and_taken_back(tmp_path: Path, event: str) -> None:
    uri, text = config(tmp_path)
    corpus = tmp_path / "not-here.txt"
    corpus.write_text("ROMEO: to be or not to be " * 200, encoding="utf-8")
    with start(tmp_path, PULLS) as client:
        client.open(uri, text)
        assert "corpus-not-found" not in pull(client, uri)
        corpus.unlink()
        if event == "didSave":
            client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        else:
            change = {"uri": corpus.as_uri(), "type": 3}
            client.notify("workspace/didChangeWatchedFiles", {"changes": [change]})
        published = client.notification("textDocument/publishDiagnostics")
        assert [one["code"] for one in published["diagnostics"]] == ["corpus-not-found"]
        # A pull holds everything, so what was pushed is taken back.
        assert "corpus-not-found" in pull(client, uri)
        assert client.notification("textDocument/publishDiagnostics")["diagnostics"] == []


@pytest.mark.parametrize("spelling", ["diagnostics", "diagnostic"])
def test_a_client_that_pulls_again_is_asked_to(tmp_path: Path, spelling: str) -> None:
    uri, text = config(tmp_path)
    asked: list[Any] = []
    with start(tmp_path, {**PULLS, "workspace": {spelling: {"refreshSupport": True}}}) as client:
        client.answers["workspace/diagnostic/refresh"] = asked.append
        client.open(uri, text)
        while "corpus-not-found" not in pull(client, uri):
            pass
        assert asked
        assert not [one for one in received(client) if one["method"] == "textDocument/publishDiagnostics"]


def test_a_text_that_comes_is_noticed_by_pushing(tmp_path: Path) -> None:
    """Push clients hear of a save and of watched files; the files are watched where the client can."""
    (tmp_path / "text.txt").write_text("ROMEO: to be or not to be " * 200, encoding="utf-8")
    uri, text = config(tmp_path)
    watching = {"workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}}}
    registered: list[Any] = []
    with start(tmp_path, watching) as client:
        client.answers["client/registerCapability"] = lambda params: registered.extend(params["registrations"])
        client.open(uri, text)
        while "corpus-not-found" not in codes(client):
            pass
        shutil.copy(tmp_path / "text.txt", tmp_path / "not-here.txt")
        change = {"uri": (tmp_path / "not-here.txt").as_uri(), "type": 1}
        client.notify("workspace/didChangeWatchedFiles", {"changes": [change]})
        assert "corpus-not-found" not in codes(client)
        (one,) = registered
        assert one["method"] == "workspace/didChangeWatchedFiles"
        assert "txt" in one["registerOptions"]["watchers"][0]["globPattern"]


def codes(client: RawClient) -> list[str]:
    published = client.notification("textDocument/publishDiagnostics")
    assert "version" not in published  # it has not said that it understands them
    assert not any("relatedInformation" in one or "codeDescription" in one for one in published["diagnostics"])
    return [one["code"] for one in published["diagnostics"]]


@pytest.mark.parametrize(
    ("capabilities", "options", "sent"),
    [
        ({}, {}, False),
        ({}, {"notifications": True}, True),
        ({"experimental": {"trickster": {"notifications": True}}}, {}, True),
        ({"experimental": {"trickster": True}}, {}, False),
        ({"experimental": {"commands": ["x"]}}, {}, False),
    ],
)
def test_our_notifications_go_to_those_who_ask(
    tmp_path: Path, capabilities: dict[str, Any], options: dict[str, Any], sent: bool
) -> None:
    run = tmp_path / "runs" / "x-001"
    run.mkdir(parents=True)
    shutil.copy(
        Path(__file__).parents[2] / "trickster_engine" / "config" / "presets" / "pico.yaml", run / "config.yaml"
    )
    (run / "events.jsonl").write_text('{"t": 1.0, "kind": "status", "status": "starting"}\n', encoding="utf-8")
    with start(tmp_path, capabilities, **options) as client:
        assert [one["name"] for one in client.request("trickster/listRuns", {})["runs"]] == ["x-001"]
        if sent:
            assert client.notification("trickster/runsChanged")["runs"]
        else:
            # Twice as long as a list takes to be sent.
            client.request("trickster/describeConfig", {"configUri": config(tmp_path)[0]})
            with pytest.raises(queue.Empty):
                client.notification("trickster/runsChanged", 0.5)
        assert client.errors() == []


def test_a_client_that_declares_nothing_is_sent_nothing_else(tmp_path: Path) -> None:
    uri, text = config(tmp_path)
    broken = text.replace("hidden_dim", "hiden_dim")
    with start(tmp_path, {}) as client:
        client.open(uri, broken)
        where = {"textDocument": {"uri": uri}, "position": {"line": next_line(broken, "num_heads"), "character": 4}}
        hover = client.request("textDocument/hover", where)["contents"]
        assert hover["kind"] == "plaintext" and not re.search(r"\*\*|`|\|:?--", hover["value"])
        assert hover["value"].startswith("num_heads")
        items = client.request("textDocument/completion", {**where, "position": {"line": 0, "character": 0}})["items"]
        assert items and all(one.get("documentation", {"kind": "plaintext"})["kind"] == "plaintext" for one in items)
        assert max(one["kind"] for one in items) <= 18
        symbols = client.request("textDocument/documentSymbol", {"textDocument": {"uri": uri}})
        assert all("location" in one and one["kind"] <= 18 for one in symbols)
        actions = client.request(
            "textDocument/codeAction", {"textDocument": {"uri": uri}, "range": ALL, "context": {"diagnostics": []}}
        )
        assert all(isinstance(one["command"], str) for one in actions)  # commands, not literals


def test_train_and_the_like_are_code_actions_where_lenses_are_not_ours(tmp_path: Path) -> None:
    uri, text = config(tmp_path)
    asked = {"textDocument": {"uri": uri}, "range": ALL, "context": {"diagnostics": []}}

    def titles(**options: Any) -> dict[str, str]:
        with start(tmp_path, {"textDocument": {"codeAction": LITERALS}}, **options) as client:
            client.open(uri, text)
            only = {**asked, "context": {"diagnostics": [], "only": ["quickfix"]}}
            assert not any(one.get("command") for one in client.request("textDocument/codeAction", only))
            found = client.request("textDocument/codeAction", asked)
            # "" is the kind that all others are below: some editors ask for it and a few more.
            everything = {**asked, "context": {"diagnostics": [], "only": ["", "quickfix"]}}
            assert client.request("textDocument/codeAction", everything) == found
            return {one["kind"]: one["title"] for one in found if one.get("command")}

    offered = titles()
    assert "Train" in offered["trickster.train"] and "trickster.inspect" in offered
    assert titles(clientCommands=True) == {}  # it has buttons


def next_line(text: str, word: str) -> int:
    return next(number for number, line in enumerate(text.splitlines()) if word in line)


def test_markdown_as_plain_text() -> None:
    markdown = (
        "**num_heads** (written here as `heads`)\n\nSee [the page](https://example.org/a_b).\n\n---\n"
        "| head_dim | **x** |\n|--:|:--|\n| 8 | *at best* |\n\n```yaml\na: 1  # **not bold**\n```\n2 * 3 * 4 stays."
    )
    assert plain_text(markdown) == (
        "num_heads (written here as heads)\n\nSee the page (https://example.org/a_b).\n\n"
        "head_dim  x\n8         at best\n\na: 1  # **not bold**\n2 * 3 * 4 stays."
    )
