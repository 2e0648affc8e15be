"""Runs through the server, with real training in real processes on a small text."""

from __future__ import annotations

import base64
import json
import math
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trickster_server.runs.pages import report

from tests.server.raw_client import RawClient
from trickster_engine.runs import RunDirectory, find_runs, read_events
from trickster_engine.system.printable import printable
from trickster_engine.system.processes import process_started

pytest.importorskip("torch")

CONFIG = """\
model_config: {{vocab_size: 256, hidden_dim: 32, num_layers: 1, num_heads: 2, mlp_dim: 64, max_seq_len: 32}}
training_config:
  batch_size: 2
  gradient_accumulation_steps: 1
  max_steps: {max_steps}
  warmup_steps: 2
  learning_rate: 1e-3
  log_interval: 1
  eval_interval: {eval_interval}
  save_interval: {save_interval}
device_config: {{device_type: cpu}}
data_config: {{corpus: corpus.txt}}
sampling_config: {{prompt: "the ", max_new_tokens: 20}}
"""
PROGRESS = {"window": {"workDoneProgress": True}}


def write_config(folder: Path, max_steps: int, eval_interval: int = 20, save_interval: int = 20) -> Path:
    words = "the of and to in that is was he for it with as his on be at by".split()  # noqa: SIM905
    rng = random.Random(5)
    (folder / "corpus.txt").write_text(" ".join(rng.choice(words) for _ in range(4000)), encoding="utf-8")
    path = folder / "tiny.trickster.yaml"
    path.write_text(
        CONFIG.format(max_steps=max_steps, eval_interval=eval_interval, save_interval=save_interval), encoding="utf-8"
    )
    return path


def server(folder: Path, environment: dict[str, str], **options: Any) -> RawClient:
    client = RawClient(env=environment, capabilities=PROGRESS)
    client.initialize(folder, options)
    return client


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it has not come true in time"
        time.sleep(0.02)
    return value


def run_info(client: RawClient, run_id: str) -> dict[str, Any]:
    return next(run for run in client.request("trickster/listRuns", {})["runs"] if run["runId"] == run_id)


def offered(client: RawClient, path: Path, *names: str) -> list[str]:
    """Which of these commands the lenses over a config offer."""
    lenses = client.request("textDocument/codeLens", {"textDocument": {"uri": path.as_uri()}})
    found = [lens["command"]["command"].rpartition(".")[2] for lens in lenses]
    return [name for name in found if name in names]


def end_trainer(directory: Path) -> None:
    """Stop whoever trains a run, the hard way if the polite one takes too long."""
    run = RunDirectory(directory)
    if not run.is_live():
        return
    run.request_stop()
    try:
        until(lambda: not run.is_live(), 30)
    except AssertionError:
        holder = run.trainer()
        assert holder is not None
        if sys.platform == "win32":
            os.kill(holder.pid, signal.SIGTERM)
        else:
            os.kill(holder.pid, signal.SIGKILL)


class Follower:
    """What a well-behaved client keeps of a run: events without a gap and without repetition."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.events: list[dict[str, Any]] = []
        self.next = 0
        self.heard = 0

    def take(self, client: RawClient, seconds: float, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not enough():
            try:
                params = client.notification("trickster/event", 0.2)
            except queue.Empty:  # nothing came
                continue
            if params["runId"] != self.run_id or params["next"] <= self.next:
                continue
            self.heard += 1
            if params["after"] != self.next:
                self.catch_up(client)
                continue
            self.events += params["events"]
            self.next = params["next"]

    def catch_up(self, client: RawClient) -> None:
        more = True
        while more:
            answer = client.request("trickster/runEvents", {"runId": self.run_id, "after": self.next})
            self.events += answer["events"]
            self.next, more = answer["next"], answer["more"]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> Iterator[tuple[RawClient, Path, str, Follower]]:
    """A run from start to end, and the server that saw it."""
    folder = tmp_path_factory.mktemp("finished")
    path = write_config(folder, 40)
    with server(folder, environment) as client:
        started = client.request("trickster/startRun", {"configUri": path.as_uri()}, 120)
        follower = Follower(started["runId"])
        follower.take(
            client, 240, lambda: bool(follower.events) and follower.events[-1].get("status") in ("finished", "failed")
        )
        yield client, path, started["runId"], follower
        assert client.errors() == []


def test_a_run_is_started_followed_and_finishes(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, path, run_id, follower = finished
    assert follower.events == read_events(Path(run_id) / "events.jsonl")[0]
    assert follower.events[-1]["status"] == "finished"
    until(lambda: not run_info(client, run_id)["live"])
    info = run_info(client, run_id)
    assert info["state"] == "finished"
    assert info["step"] == info["maxSteps"] == 40
    assert info["configPath"] == str(path)
    assert info["parameters"] > 0
    assert info["checkpoints"]
    assert info["checkpoints"][-1]["step"] == 40
    assert set(info["baselines"]) >= {"uniform", "bigram"}
    assert (Path(run_id) / "config.yaml").read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_no_run_is_heard_more_than_ten_times_a_second(finished: tuple[RawClient, Path, str, Follower]) -> None:
    _, _, _, follower = finished
    # By the trainer's own clock, which no delay on the way makes shorter.
    lasted = follower.events[-1]["t"] - follower.events[0]["t"]
    assert 1 < follower.heard <= 10 * lasted + 3, lasted


def test_history_can_be_read_in_pieces(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, follower = finished
    events: list[dict[str, Any]] = []
    position, more, count = 0, True, 0
    while more:
        answer = client.request("trickster/runEvents", {"runId": run_id, "after": position, "limit": 7})
        assert len(answer["events"]) <= 7
        events += answer["events"]
        position, more, count = answer["next"], answer["more"], count + 1
    assert events == follower.events
    assert count > 3


def test_text_is_streamed(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, _ = finished
    params = {
        "runId": run_id,
        "prompt": "the ",
        "sampling": {"maxNewTokens": 60, "seed": 3, "temperature": 0.7},
        "probabilities": 3,
        "partialResultToken": "parts-1",
    }
    answer = client.request("trickster/generate", params, 120)
    parts = drain(client, "parts-1")
    assert "".join(part["text"] for part in parts) == answer["text"]
    tokens = [token for part in parts for token in part["tokens"]]
    assert len(tokens) == answer["tokens"] == 60
    assert all(len(token["alternatives"]) == 3 for token in tokens)
    assert all(0 < token["probability"] <= 1 for token in tokens)
    # The same seed gives the same text, now from a model that is already in memory.
    began = time.monotonic()
    again = client.request("trickster/generate", {**params, "partialResultToken": "parts-2", "probabilities": 0}, 120)
    assert again["text"] == answer["text"]
    assert time.monotonic() - began < 5
    assert again["step"] == 40


def test_a_model_is_looked_into(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, follower = finished
    run = {"runId": run_id}
    found = client.request("trickster/inside", run, 120)
    heads, tokens = found["model"]["layers"] * found["model"]["heads"], len(found["tokens"])
    assert found["step"] == 40 and found["text"] and found["attention"]["shape"][2:] == [tokens, tokens]
    assert len(base64.b64decode(found["attention"]["data"])) == heads * tokens**2 and len(found["heads"]) == heads
    # The same text again, in a model that is in memory, is the same; before training it is as good as a guess.
    kept = ("tokens", "attention", "lens", "stream", "neurons", "heads", "logits")
    again = client.request("trickster/inside", {**run, "text": found["text"]}, 60)
    assert {name: again[name] for name in kept} == {name: found[name] for name in kept}
    before = client.request("trickster/inside", {**run, "text": found["text"], "beforeTraining": True}, 60)
    assert (before["step"], before["checkpoint"]) == (0, None)
    uniform = math.log(found["model"]["vocabSize"])
    assert before["loss"] == pytest.approx(uniform, rel=0.03) and found["loss"] < 0.9 * uniform
    off = {"switchedOff": [{"part": "layer", "layer": 0}], "text": found["text"], "maxNewTokens": 5}
    changed = client.request("trickster/insideWhatIf", {**run, **off}, 60)
    assert changed["before"]["loss"] == pytest.approx(found["loss"])
    assert changed["after"]["loss"] != pytest.approx(found["loss"], abs=1e-4)
    assert len(changed["after"]["continuation"]) == 5
    points = client.request("trickster/insideEmbedding", run, 60)["points"]
    assert {point["kind"] for point in points} == {"lower case", "space"}
    excited = client.request("trickster/insideNeuron", {**run, "layer": 0, "neuron": 1, "count": 3}, 60)
    values = [one["activation"] for one in excited["highest"]]
    assert len(values) == 3 and values == sorted(values, reverse=True)
    past = client.request("trickster/insideHistory", {**run, "layer": 0, "head": 1}, 60)
    steps = [moment["step"] for moment in past["moments"]]
    assert steps[0] == 0 and steps[-1] == 40 and len(steps) > 2 and past["unreadable"] == []
    assert past["moments"][0]["loss"] == pytest.approx(before["loss"])
    assert past["moments"][-1]["heads"] == found["heads"]
    there = {event["step"] for event in follower.events if event["kind"] == "checkpoint"}
    assert set(steps[1:]) <= there
    error = client.wait(client.begin("trickster/insideNeuron", {**run, "layer": 9, "neuron": 1}), 60)["error"]
    assert "There is no layer 9: they are 0 to" in error["message"]


def drain(client: RawClient, token: str) -> list[dict[str, Any]]:
    parts = []
    while not client.notifications.empty():
        message = client.notifications.get()
        if message["method"] == "$/progress" and message["params"]["token"] == token:
            parts.append(message["params"]["value"])
    return parts


def test_generation_is_cancelled_at_once(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, _ = finished
    long = {"runId": run_id, "sampling": {"maxNewTokens": 1_000_000}, "partialResultToken": "long"}
    client.request("trickster/generate", {"runId": run_id, "sampling": {"maxNewTokens": 2}}, 120)  # loads the model
    request = client.begin("trickster/generate", long)
    while client.notification("$/progress", 60)["token"] != "long":
        pass
    client.notify("$/cancelRequest", {"id": request})
    began = time.monotonic()
    assert client.wait(request)["error"]["code"] == -32800
    assert time.monotonic() - began < 1
    # The worker is free again.
    short = client.request("trickster/generate", {"runId": run_id, "sampling": {"maxNewTokens": 2}}, 20)
    assert short["tokens"] == 2


def test_generation_never_delays_a_hover(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, path, run_id, _ = finished
    client.open(path.as_uri(), path.read_text(encoding="utf-8"))
    request = client.begin("trickster/generate", {"runId": run_id, "sampling": {"maxNewTokens": 1_000_000}})
    position = {"textDocument": {"uri": path.as_uri()}, "position": {"line": 4, "character": 6}}
    for _ in range(20):
        client.request("textDocument/hover", position, 5)
    client.notify("$/cancelRequest", {"id": request})
    assert client.wait(request)["error"]["code"] == -32800
    client.notify("textDocument/didClose", {"textDocument": {"uri": path.as_uri()}})


def test_the_next_tokens_are_shown(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, _ = finished
    answer = client.request("trickster/nextTokens", {"runId": run_id, "text": "the o", "count": 256}, 120)
    probabilities = [token["probability"] for token in answer["tokens"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert abs(sum(probabilities) - 1) < 1e-3
    assert 0 <= answer["entropy"] <= 5.546
    cut = {"runId": run_id, "text": "the o", "count": 10, "sampling": {"topK": 2, "temperature": 1.0}}
    shown = [token["probability"] for token in client.request("trickster/nextTokens", cut, 60)["tokens"]]
    assert sum(one > 0 for one in shown) == 2


def test_a_text_is_completed_while_another_is_generated(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, _ = finished
    endless = client.begin("trickster/generate", {"runId": run_id, "sampling": {"maxNewTokens": 1_000_000}})
    answer = client.request("trickster/complete", {"runId": run_id, "before": "the o"}, 120)
    client.notify("$/cancelRequest", {"id": endless})
    assert client.wait(endless)["error"]["code"] == -32800
    greedy = {"runId": run_id, "prompt": "the o", "sampling": {"temperature": 0.0, "maxNewTokens": 32}}
    written = client.request("trickster/generate", greedy, 120)
    assert written["text"].startswith(answer["text"])
    assert (answer["checkpoint"], answer["step"]) == (written["checkpoint"], written["step"])


def test_keys_that_follow_one_another_are_answered_by_one_process(
    finished: tuple[RawClient, Path, str, Follower], tmp_path: Path, environment: dict[str, str]
) -> None:
    _, path, run_id, _ = finished
    with server(path.parent, environment) as client:
        for before in ("t", "th", "the"):  # each key comes while the process that answers is still on its way up
            request = client.begin("trickster/complete", {"runId": run_id, "before": before})
            client.notify("$/cancelRequest", {"id": request})
            assert client.wait(request)["error"]["code"] == -32800
        assert "text" in client.request("trickster/complete", {"runId": run_id, "before": "the o"}, 60)
        assert len(others(client.process.pid, 0, 0)) == 1


class TypingClient(RawClient):
    """A client that shows completions in grey, with one text open."""

    def __init__(self, folder: Path, environment: dict[str, str], **options: Any) -> None:
        super().__init__(env=environment, capabilities={"textDocument": {"inlineCompletion": {}}})
        self.says_it_completes = self.initialize(folder, options)["capabilities"].get("inlineCompletionProvider")
        self.uri = (folder / "notes.md").as_uri()

    def show(self, language: str, text: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": self.uri}})
        document = {"uri": self.uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def ask(self, line: int, character: int, trigger: int = 2) -> int:
        where = {"textDocument": {"uri": self.uri}, "position": {"line": line, "character": character}}
        return self.begin("textDocument/inlineCompletion", {**where, "context": {"triggerKind": trigger}})

    def offer(self, line: int, character: int, trigger: int = 2) -> tuple[str, dict[str, Any]] | None:
        answer = self.wait(self.ask(line, character, trigger), 120)
        if (found := answer["result"]) is None:
            return None
        (item,) = found["items"]
        return item["insertText"], item["range"]["start"]


def test_any_editor_is_offered_what_the_chosen_model_goes_on_with(tmp_path: Path, environment: dict[str, str]) -> None:
    """A sentence that returns all the time is soon known by heart: its offer is long enough to see where it ends."""
    path = write_config(tmp_path, 200, eval_interval=200, save_interval=200)
    rng = random.Random(1)
    lines = [f"Fox \U0001f98a thumbs\nVery {rng.randrange(10**9)}\n" for _ in range(400)]
    path.with_name("corpus.txt").write_text("".join(lines), encoding="utf-8")
    text = path.read_text(encoding="utf-8").replace("learning_rate: 1e-3", "learning_rate: 1e-2")
    path.write_text(text.replace("batch_size: 2", "batch_size: 8"), encoding="utf-8")
    with server(tmp_path, environment) as trainer:
        run_id = trainer.request("trickster/startRun", {"configUri": path.as_uri()}, 120)["runId"]
        until(lambda: run_info(trainer, run_id)["state"] == "finished")
    before = "# \U0001f98a\r\nFox \U0001f98a th\r\nmore"
    client = TypingClient(tmp_path, environment)
    with client:
        assert client.says_it_completes is not None
        client.show("markdown", before)
        assert client.offer(1, 9) is None  # no model has been chosen
        chosen = client.request(
            "workspace/executeCommand", {"command": "trickster.server.completeWith", "arguments": ["tiny-001"]}, 120
        )
        assert (chosen["name"], chosen["step"]) == ("tiny-001", 200)
        assert "tiny-001 (step 200) completes" in client.notification("window/showMessage")["message"]
        text, start = client.offer(1, 9) or ("", {})
        assert (text, start) == ("umbs", {"line": 1, "character": 9})  # columns in UTF-16 units, up to the line's end
        assert (client.offer(1, 9, trigger=1) or ("",))[0].startswith("umbs\nV")  # as it was asked for
        assert client.offer(1, 3) is None  # within a line
        client.show("python", before)
        assert client.offer(1, 9) is None  # a language that was not named
        wanted = {"runId": run_id, "files": ["*.txt", f"{tmp_path.as_posix()}/*.md"]}
        client.request("trickster/completeWith", wanted, 120)
        assert client.offer(1, 9) is not None
        cancelled = client.ask(1, 9, trigger=1)
        client.notify("$/cancelRequest", {"id": cancelled})
        assert client.wait(cancelled).get("error", {}).get("code") == -32800
        stop = {"command": "trickster.server.stopCompleting", "arguments": []}
        assert client.request("workspace/executeCommand", stop) == {"name": "tiny-001"}
        assert client.offer(1, 9) is None
        assert client.errors() == []
    options = {"completionModel": "runs/tiny-001", "completionFiles": ["markdown"]}
    client = TypingClient(tmp_path, environment, trusted=False, **options)
    with client:
        client.show("markdown", before)
        assert client.offer(1, 9) is None
        assert others(client.process.pid, 0, 0) == []  # nothing is started without trust
        client.notify("trickster/trustGranted", {})
        assert until(lambda: client.offer(1, 9))[0] == "umbs"
    client = TypingClient(tmp_path, environment, completionModel="gone")
    with client:
        assert "gone does not complete" in client.notification("window/showMessage")["message"]
    client = TypingClient(tmp_path, environment, clientCommands=True)
    with client:
        assert client.says_it_completes is None  # it has a provider of its own


def test_what_cannot_be_generated_is_explained(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, _ = finished
    answer = client.wait(client.begin("trickster/generate", {"runId": run_id, "prompt": ""}), 60)
    assert "empty" in answer["error"]["message"]
    options = {"runId": run_id, "sampling": {"temperature": -1}}
    assert "temperature" in client.wait(client.begin("trickster/generate", options), 60)["error"]["message"]
    missing = {"checkpoint": str(Path(run_id) / "checkpoints" / "step-999999")}
    assert client.wait(client.begin("trickster/generate", missing), 60)["error"]["code"] == 1007


def test_text_of_a_corpus_is_no_markdown_in_a_report() -> None:
    data = {
        "name": "play`](http://x) <b>", "train_tokens": 9, "val_tokens": 3, "val_characters": 3, "begins": "```\n# x",
    }  # fmt: skip
    assert report("prepare", data, "").splitlines()[0] == "# `` play`](http://x) <b> ``"
    assert "````text\n```\n# x\n````" in report("prepare", data, "")


def test_reports(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, path, run_id, _ = finished
    prepared = client.request("trickster/prepare", {"configUri": path.as_uri()}, 120)
    assert prepared["data"]["train_tokens"] > 0
    assert "training tokens" in prepared["report"]
    assert path.with_name("corpus.txt").read_text(encoding="utf-8")[:100] in prepared["report"]
    assert client.request("trickster/describeConfig", {"configUri": path.as_uri()})["prepared"] is True
    inspected = client.request("trickster/inspect", {"configUri": path.as_uri()}, 120)
    assert inspected["data"]["parameters"]["total"] > 0
    assert "# The model before training" in inspected["report"]
    assert f"{inspected['data']['parameters']['total']:,}" in inspected["page"]
    assert "<svg" in inspected["page"] and "default-src 'none'" in inspected["page"]
    compared = client.request("trickster/compare", {"runId": run_id, "workDoneToken": "bar"}, 120)
    assert {"rows", "samples"} <= set(compared["data"])
    assert "# Proof of learning" in compared["report"]
    assert "In 1,000 characters generated after the prompt" in compared["report"]
    assert "The model's longest copy" in compared["report"]
    checked = client.request("trickster/doctor", {}, 120)
    assert checked["data"]["would_run"] in checked["report"]
    assert checked["report"].startswith("# This machine")
    assert re.search(r"\d+ CPU cores?, [0-9.]+ [GT]B of memory", checked["report"])
    assert [part["kind"] for part in drain(client, "bar")][:1] == ["begin"]


def test_what_was_learned_is_measured_again_only_where_the_run_has_gone_on(
    finished: tuple[RawClient, Path, str, Follower],
) -> None:
    client, path, run_id, _ = finished
    until(lambda: not run_info(client, run_id)["live"])
    page = Path(run_id) / "report.html"
    position = {"textDocument": {"uri": path.as_uri()}, "position": {"line": 4, "character": 6}}
    client.open(path.as_uri(), path.read_text(encoding="utf-8"))
    request = client.begin("trickster/report", {"runId": run_id, "workDoneToken": "measuring"})
    client.request("textDocument/hover", position, 5)  # a process of its own measures
    made = client.wait(request, 240)["result"]
    assert made["path"] == str(page)
    assert made["data"]["run"] == Path(run_id).name
    assert "<title>What" in page.read_text(encoding="utf-8")
    said = drain(client, "measuring")
    assert said[0]["kind"] == "begin"
    assert any("Generating" in part.get("message", "") for part in said)
    before = page.stat().st_mtime_ns
    again = client.request("trickster/report", {"runId": run_id}, 60)
    assert again == {"path": str(page), "data": None}
    assert page.stat().st_mtime_ns == before
    # A page that says of itself that it is fresh, and was made by somebody else.
    page.write_text(page.read_text(encoding="utf-8") + "older events", encoding="utf-8")
    request = client.begin("trickster/report", {"runId": run_id})
    client.notify("$/cancelRequest", {"id": request})
    assert client.wait(request)["error"]["code"] == -32800
    assert "older events" in page.read_text(encoding="utf-8")
    client.notify("textDocument/didClose", {"textDocument": {"uri": path.as_uri()}})


def test_a_command_says_what_has_come_of_it(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, _, run_id, _ = finished
    command = {"command": "trickster.server.generate", "arguments": [run_id]}
    answer = client.request("workspace/executeCommand", command, 120)
    assert client.notification("window/showMessage")["message"] == printable(answer["prompt"] + answer["text"])


def test_expected_time_is_learned_from_the_run(finished: tuple[RawClient, Path, str, Follower]) -> None:
    client, path, run_id, _ = finished
    until(lambda: not run_info(client, run_id)["live"])
    uri = path.as_uri()

    def described() -> Any:
        answer = client.request("trickster/describeConfig", {"configUri": uri})
        return answer if answer["estimateSource"] else None

    answer = until(described, 30)
    assert answer["estimateSource"] == "measured"
    assert answer["runIds"] == [run_id]
    client.open(uri, path.read_text(encoding="utf-8").replace("hidden_dim: 32", "hidden_dim: 64"))
    changed = client.request("trickster/describeConfig", {"configUri": uri})
    assert changed["estimateSource"] == "estimated"
    assert changed["estimatedSeconds"] > answer["estimatedSeconds"]
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


# ---- stop, resume, delete -------------------------------------------------------------------------------------------


def test_stop_saves_and_resume_goes_on(tmp_path: Path, environment: dict[str, str]) -> None:
    if sys.platform == "win32":
        pytest.skip("no process can be held up there")
    path = write_config(tmp_path, 1_000_000, 1_000_000, 1_000_000)
    with server(tmp_path, environment) as client:
        started = client.request("trickster/startRun", {"configUri": path.as_uri()}, 120)
        run_id, directory = started["runId"], Path(started["runDirectory"])
        try:
            until(lambda: run_info(client, run_id)["step"] >= 3)
            live = run_info(client, run_id)
            assert live["live"] and live["pid"] and live["state"] in ("training", "evaluating")
            refused = client.wait(client.begin("trickster/deleteRun", {"runId": run_id}))
            assert refused["error"]["code"] == 1003
            refused = client.wait(client.begin("trickster/resumeRun", {"runId": run_id}))
            assert refused["error"]["code"] == 1003
            client.open(path.as_uri(), path.read_text(encoding="utf-8"))
            assert offered(client, path, "stop", "resume") == ["stop"]
            # The trainer cannot answer now; that it was asked shows at once, and nobody is offered to ask again.
            os.kill(live["pid"], signal.SIGSTOP)
            try:
                assert client.request("trickster/stopRun", {"runId": run_id})["state"] == "stopping"
                assert run_info(client, run_id)["state"] == "stopping"
                assert offered(client, path, "stop", "resume") == []
            finally:
                os.kill(live["pid"], signal.SIGCONT)
            stopped = client.request("trickster/stopRun", {"runId": run_id, "wait": True}, 120)
            assert stopped["state"] == "stopped"
            info = run_info(client, run_id)
            assert not info["live"] and info["pid"] is None and info["checkpoints"]
            assert offered(client, path, "stop", "resume") == ["resume"]
            client.request("trickster/resumeRun", {"runId": run_id}, 120)
            until(lambda: run_info(client, run_id)["step"] > info["step"])
            assert offered(client, path, "stop", "resume") == ["stop"]
            client.request("trickster/stopRun", {"runId": run_id, "wait": True}, 120)
            client.request("trickster/deleteRun", {"runId": run_id})
            assert not directory.exists()
            assert client.request("trickster/listRuns", {})["runs"] == []
        finally:
            end_trainer(directory)
        assert client.errors() == []


def test_overrides_replace_what_the_file_says(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 1_000_000)
    with server(tmp_path, environment) as client:
        params = {
            "configUri": path.as_uri(),
            "overrides": {"training_config.max_steps": 3, "sampling_config.prompt": 'a "quoted" prompt: x'},
        }
        started = client.request("trickster/startRun", params, 120)
        until(lambda: run_info(client, started["runId"])["state"] == "finished")
        assert run_info(client, started["runId"])["maxSteps"] == 3


# ---- others start and kill runs -------------------------------------------------------------------------------------


def train_in_terminal(path: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "trickster_engine", "train", str(path), "--json"],
        cwd=path.parent,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def started_run(folder: Path, trainer: subprocess.Popen[bytes]) -> RunDirectory:
    def look() -> RunDirectory | None:
        assert trainer.poll() is None, "the trainer has ended"
        return next((run for run in find_runs(folder / "runs") if run.is_live() and run.identity()), None)

    run: RunDirectory = until(look)
    return run


def test_a_run_from_a_terminal_appears_and_its_death_is_noticed(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 1_000_000, 1_000_000, 50)
    with server(tmp_path, environment) as client:
        client.request("trickster/listRuns", {})
        trainer = train_in_terminal(path, environment)
        try:
            changed = client.notification("trickster/runsChanged", 120)
            run_id = changed["runs"][0]["runId"]
            assert Path(run_id).parent == tmp_path / "runs"
            follower = Follower(run_id)
            follower.take(client, 120, lambda: any(event["kind"] == "checkpoint" for event in follower.events))
            assert follower.events[0]["kind"] == "status"
            trainer.kill()
            trainer.wait()
            until(lambda: run_info(client, run_id)["state"] == "interrupted", 10)
            assert not run_info(client, run_id)["live"]
        finally:
            trainer.kill()
        # The file it came from says so, and offers to go on.
        client.open(path.as_uri(), path.read_text(encoding="utf-8"))
        published = client.notification("textDocument/publishDiagnostics")
        assert "run-interrupted" in [one["code"] for one in published["diagnostics"]]
        lenses = client.request("textDocument/codeLens", {"textDocument": {"uri": path.as_uri()}})
        assert any("Resume" in lens["command"]["title"] for lens in lenses)
        assert client.errors() == []


def test_a_server_killed_ten_times_loses_and_doubles_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    """`kill -9` the server at random moments of a real run; a client goes on with a new one each time."""
    path = write_config(tmp_path, 1_000_000, 300, 1_000_000)
    trainer = train_in_terminal(path, environment)
    rng = random.Random(11)
    shown: list[float] = []
    try:
        run = started_run(tmp_path, trainer)
        follower = Follower(str(run.path))
        # The first server is asked for the history, each later one is told how far the client has come.
        for number in range(11):
            options = {"following": {follower.run_id: follower.next}} if number else {}
            with server(tmp_path, environment, **options) as client:
                began = time.monotonic()
                listed = run_info(client, follower.run_id)
                shown.append(time.monotonic() - began)
                assert listed["live"]
                if not number:
                    follower.catch_up(client)
                count = len(follower.events)
                follower.take(client, 60, lambda count=count: len(follower.events) > count + 3)  # type: ignore[misc]
                assert len(follower.events) > count
                follower.take(client, rng.random(), lambda: False)
                if number < 10:
                    client.process.kill()
                    client.process.wait()
                    assert trainer.poll() is None
                else:
                    client.request("trickster/stopRun", {"runId": follower.run_id, "wait": True}, 120)
                    follower.take(client, 30, lambda: follower.events[-1].get("status") == "stopped")
        assert follower.events == read_events(run.events_path)[0]
        print("shown live after", " ".join(f"{seconds:.2f}" for seconds in sorted(shown)), "s")
        assert sorted(shown)[len(shown) // 2] < 1.0, shown
        assert max(shown) < 2.0, shown  # a machine with other things to do is allowed one hiccup
        kinds = [event["status"] for event in follower.events if event["kind"] == "status"]
        assert kinds.count("starting") == 1, "the trainer never noticed"
        steps = [event["step"] for event in follower.events if event["kind"] == "step"]
        assert steps == list(range(1, len(steps) + 1))
    finally:
        trainer.kill()
        trainer.wait()


@pytest.mark.parametrize("politely", [True, False], ids=["politely", "kill -9"])
def test_a_server_that_ends_leaves_training_alive_and_nothing_else(
    tmp_path: Path, environment: dict[str, str], politely: bool
) -> None:
    path = write_config(tmp_path, 1_000_000, 1_000_000, 30)
    client = server(tmp_path, environment)
    started = client.request("trickster/startRun", {"configUri": path.as_uri()}, 120)
    run = RunDirectory(Path(started["runDirectory"]))
    try:
        until(lambda: run_info(client, started["runId"])["checkpoints"])
        client.begin("trickster/generate", {"runId": started["runId"], "sampling": {"maxNewTokens": 10**6}})
        client.begin("trickster/inspect", {"configUri": path.as_uri()})
        children = until(lambda: others(client.process.pid, started["pid"], 2))
        if politely:
            assert client.shutdown() == 0
        else:
            client.kill()
        until(lambda: not any(process_started(pid) for pid in children), 30)
        assert run.is_live()
        position = run.events_path.stat().st_size
        until(lambda: run.events_path.stat().st_size > position, 60)
    finally:
        client.kill()
        end_trainer(run.path)


def others(parent: int, trainer: int, count: int) -> list[int]:
    """Children of a process beside the trainer, once there are so many."""
    if not sys.platform.startswith("linux"):
        pytest.skip("children are read from /proc")
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    children = [int(pid) for task in tasks for pid in task.read_text(encoding="ascii").split() if int(pid) != trainer]
    return children if len(children) >= count else []


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_no_process_is_started_in_a_folder_that_is_not_trusted(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 3)
    with server(tmp_path, environment, trusted=False) as client:
        for method, params in (
            ("trickster/startRun", {"configUri": path.as_uri()}),
            ("trickster/inspect", {"configUri": path.as_uri()}),
            ("trickster/prepare", {"configUri": path.as_uri()}),
            ("trickster/doctor", {}),
            ("trickster/report", {"runId": "/x"}),
            ("trickster/generate", {"checkpoint": "/x"}),
            ("trickster/nextTokens", {"checkpoint": "/x", "text": "a"}),
            ("trickster/complete", {"checkpoint": "/x", "before": "a"}),
            ("trickster/completeWith", {"checkpoint": "/x"}),
            ("trickster/deleteRun", {"runId": "/x"}),
            ("trickster/deleteRun", {"runId": "/x", "dryRun": True}),
            ("trickster/stopRun", {"runId": "/x"}),
            ("trickster/createConfig", {"preset": "pico", "folderUri": tmp_path.as_uri()}),
        ):
            error = client.wait(client.begin(method, params))["error"]
            assert (error["code"], error["data"]["errorCode"]) == (1001, "not-trusted"), method
        assert others(client.process.pid, 0, 0) == []
        client.open(path.as_uri(), path.read_text(encoding="utf-8"))
        where = {"textDocument": {"uri": path.as_uri()}, "position": {"line": 4, "character": 4}}
        assert client.request("textDocument/hover", where)
        client.notify("trickster/trustGranted", {})
        started = client.request("trickster/startRun", {"configUri": path.as_uri()}, 120)
        until(lambda: run_info(client, started["runId"])["state"] == "finished")


def test_an_interpreter_that_cannot_train_is_named(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 3)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python = next(str(one) for one in (bare / "bin" / "python", bare / "Scripts" / "python.exe") if one.exists())
    with server(tmp_path, environment) as client:

        def refused(python: str) -> dict[str, Any]:
            params = {"configUri": path.as_uri(), "python": python}
            error: dict[str, Any] = client.wait(client.begin("trickster/startRun", params), 60)["error"]
            return error

        assert refused(python)["code"] == 1006
        assert "torch" in refused(python)["message"]
        assert refused(str(tmp_path / "no-such-python"))["code"] == 1008
        assert refused(str(path))["code"] == 1008
        assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_a_run_that_cannot_begin_says_why(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 3)
    (tmp_path / "corpus.txt").unlink()
    with server(tmp_path, environment) as client:
        error = client.wait(client.begin("trickster/startRun", {"configUri": path.as_uri()}), 120)["error"]
        assert error["code"] == 1005
        assert "corpus.txt" in error["message"]
        assert error["data"]["errorCode"] == "corpus-missing"
        assert "[" not in error["message"]
        path.write_text("model_config: {hiden_dim: 3}\n", encoding="utf-8")
        error = client.wait(client.begin("trickster/startRun", {"configUri": path.as_uri()}), 120)["error"]
        assert error["code"] == 1004
        until(lambda: client.request("trickster/listRuns", {})["runs"] == [])


def test_a_long_action_is_cancelled_from_its_progress_bar(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 3)
    with server(tmp_path, environment) as client:
        created = threading.Event()
        token: list[Any] = []

        def create(params: dict[str, Any]) -> None:
            token.append(params["token"])
            created.set()

        client.answers["window/workDoneProgress/create"] = create
        request = client.begin(
            "workspace/executeCommand", {"command": "trickster.server.inspect", "arguments": [path.as_uri()]}
        )
        assert created.wait(60)
        while client.notification("$/progress", 60)["value"]["kind"] != "begin":
            pass
        client.notify("window/workDoneProgress/cancel", {"token": token[0]})
        assert client.wait(request, 10)["error"]["code"] == -32800
        ends = [part["kind"] for part in drain(client, token[0])]
        assert ends[-1] == "end"
        until(lambda: others(client.process.pid, 0, 0) == [], 10)


def test_broken_run_directories_are_listed_and_do_no_harm(tmp_path: Path, environment: dict[str, str]) -> None:
    good = json.dumps({"t": 5.0, "kind": "status", "status": "training", "step": 3, "message": None})
    files = {
        "empty": "",
        "torn": good + '\n{"t": 6, "kind": "st',
        "noise": "\0\0\xff\n" + good + "\nnot json\n[]\n{}\n" + '{"kind": "step"}\n{"kind": "eval", "val_loss": "x"}\n',
        "strange": '{"kind": 7}\n{"kind": "step", "t": 1, "step": "x", "loss": [], "tokens_per_s": "fast"}\n'
        '{"kind": "checkpoint", "path": 5, "step": "y", "val_loss": "low", "best": 1}\n'
        '{"t": "x", "kind": "status", "status": 5, "step": null}\n' + good + "\n",
    }
    for name, text in files.items():
        folder = tmp_path / "runs" / f"{name}-001"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("model_config: [", encoding="utf-8")
        (folder / "events.jsonl").write_text(text, encoding="latin-1")
        (folder / "run.json").write_text('{"id": 3}', encoding="utf-8")
        (folder / "lock").write_text("{", encoding="utf-8")
    long = tmp_path / "runs" / "long-001"
    long.mkdir()
    (long / "config.yaml").write_text("", encoding="utf-8")
    step = (
        '{"t":1.0,"kind":"step","step":%d,"loss":1.0,"lr":0.1,"grad_norm":1.0,"tokens_per_s":9.0,"eta_s":1,"mfu":0}\n'
    )
    (long / "events.jsonl").write_text("".join(step % number for number in range(1, 30_001)), encoding="utf-8")
    with server(tmp_path, environment) as client:
        follower = Follower(str(long))
        follower.catch_up(client)
        assert [event["step"] for event in follower.events] == list(range(1, 30_001))
        assert client.request("trickster/deleteRun", {"runId": str(long)})["kept"] == []
        listed = {run["name"]: run for run in client.request("trickster/listRuns", {})["runs"]}
        assert set(listed) == {f"{name}-001" for name in files}
        assert {run["state"] for run in listed.values()} == {"interrupted"}
        assert listed["torn-001"]["step"] == 3
        # The torn line is finished later, by a trainer that goes on.
        with (tmp_path / "runs" / "torn-001" / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write('atus", "status": "training", "step": 9, "message": null}\n')
        until(lambda: run_info(client, str(tmp_path / "runs" / "torn-001"))["step"] == 9, 10)
        assert client.errors() == []
