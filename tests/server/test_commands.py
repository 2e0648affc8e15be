"""`workspace/executeCommand`, as editors send it that know nothing of us: often without an argument, in any form."""

from __future__ import annotations

import queue
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trickster_server.runs.interpreter import resolved

from tests.server.raw_client import RawClient
from tests.server.test_runs import end_trainer, until, write_config

pytest.importorskip("torch")

SHOWS = {"window": {"showDocument": {"support": True}}}


def start(
    folder: Path, environment: dict[str, str], capabilities: dict[str, Any] | None = None, **options: Any
) -> RawClient:
    client = RawClient(env=environment, capabilities=capabilities)
    client.initialize(folder, {"notifications": False, **options})
    return client


def execute(client: RawClient, command: str, *arguments: Any) -> dict[str, Any]:
    params = {"command": f"trickster.server.{command}", "arguments": list(arguments)}
    return client.wait(client.begin("workspace/executeCommand", params), 180)


def messages(client: RawClient) -> list[str]:
    found: list[str] = []
    while True:
        try:
            one = client.notifications.get_nowait()
        except queue.Empty:
            return found
        if one["method"] == "window/showMessage":
            found.append(one["params"]["message"])


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]
) -> Iterator[tuple[RawClient, Path, str, list[str]]]:
    """The only open config, trained by a command that named nothing."""
    folder = tmp_path_factory.mktemp("commands")
    path = write_config(folder, 40)
    with start(folder, environment) as client:
        client.open(path.as_uri(), path.read_text(encoding="utf-8"))
        started = execute(client, "train")["result"]
        said = messages(client)
        until(lambda: client.request("trickster/listRuns", {})["runs"][0]["state"] == "finished")
        yield client, path, started["runId"], said
        assert client.errors() == []


def test_train_without_an_argument_takes_the_only_open_config(
    trained: tuple[RawClient, Path, str, list[str]],
) -> None:
    _, _, run_id, said = trained
    assert Path(run_id).name == "tiny-001"
    # Heard at once, and then what has come of it.
    assert said[0].startswith("Starting to train") and said[-1].startswith("Training tiny-001 as process")


@pytest.mark.parametrize("form", ["name", "slash", "path", "path/", "uri", "uri/", "below the workspace"])
def test_a_run_is_named_in_any_way(trained: tuple[RawClient, Path, str, list[str]], form: str) -> None:
    client, _, run_id, _ = trained
    path = Path(run_id)
    names = {
        "name": path.name,
        "slash": f"{path.name}/",
        "path": str(path),
        "path/": f"{path}/",
        "uri": path.as_uri(),
        "uri/": f"{path.as_uri()}/",
        "below the workspace": f"runs/{path.name}",
    }
    answer = execute(client, "delete", {"runId": names[form], "dryRun": True})
    assert answer["result"]["runDirectory"] == run_id


def test_a_run_that_is_not_there_or_not_clear_is_answered(trained: tuple[RawClient, Path, str, list[str]]) -> None:
    client, path, run_id, _ = trained
    answer = execute(client, "stop", "tiny-999")
    assert "There is no run tiny-999" in answer["error"]["message"] and "tiny-001" in answer["error"]["message"]
    other = path.parent / "elsewhere" / "tiny-001"
    shutil.copytree(run_id, other)
    try:
        until(lambda: len(client.request("trickster/listRuns", {})["runs"]) == 2)
        answer = execute(client, "stop", "tiny-001")
        assert "Several runs are called tiny-001" in answer["error"]["message"]
        assert str(other) in answer["error"]["message"] and run_id in answer["error"]["message"]
    finally:
        shutil.rmtree(other)
        until(lambda: len(client.request("trickster/listRuns", {})["runs"]) == 1)


def test_every_command_answers_with_words(trained: tuple[RawClient, Path, str, list[str]]) -> None:
    client, path, _, _ = trained
    messages(client)
    for command, expected in {
        "stop": "No run of tiny.trickster.yaml is training",
        "resume": "No run of tiny.trickster.yaml can be resumed",
        "delete": "Name a run",
        "createConfig": "pico",
        "listRuns": "runs.md",
        "presets": "presets.md",
        "doctor": "doctor.md",
        "inspect": "inspect.md",
    }.items():
        answer = execute(client, command)
        said = messages(client)
        assert said and expected in said[-1], (command, said, answer)
    page = Path(said[-1].removeprefix("Written: "))
    assert "parameters" in page.read_text(encoding="utf-8")
    assert execute(client, "generate")["result"]["text"]
    (words,) = messages(client)
    assert words.isprintable() and (words.startswith("the ") or "generated.md" in words)
    # A config by its name in the workspace, as one types it.
    assert execute(client, "inspect", path.name)["result"]["data"]
    assert "no such file" in execute(client, "inspect", "other.yaml")["error"]["message"]


def test_the_doctors_page_is_opened_where_the_client_can(tmp_path: Path, environment: dict[str, str]) -> None:
    with start(tmp_path, environment, SHOWS) as client:
        shown: list[dict[str, Any]] = []

        def show(params: dict[str, Any]) -> dict[str, bool]:
            shown.append(params)
            return {"success": True}

        client.answers["window/showDocument"] = show
        execute(client, "doctor")
        assert [one["uri"].rpartition("/")[2] for one in shown] == ["doctor.md"]
        assert messages(client)[-1].startswith("Opened ")


def test_without_a_config_or_with_two_it_is_asked_which(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 40)
    with start(tmp_path, environment) as client:
        assert "No config is open" in execute(client, "train")["error"]["message"]
        text = path.read_text(encoding="utf-8")
        for name in ("a", "b"):
            client.open((tmp_path / f"{name}.trickster.yaml").as_uri(), text)
        words = execute(client, "train")["error"]["message"]
        assert "a.trickster.yaml, b.trickster.yaml" in words and messages(client)[-1] == words


def test_train_pressed_twice_starts_one_run(tmp_path: Path, environment: dict[str, str]) -> None:
    """Both presses are answered, and with the same run: before it lives, and before its first step."""
    path = write_config(tmp_path, 100_000)
    with start(tmp_path, environment) as client:
        client.open(path.as_uri(), path.read_text(encoding="utf-8"))
        params = {"command": "trickster.server.train", "arguments": [{"configUri": path.as_uri()}]}
        presses = [client.begin("workspace/executeCommand", params) for _ in range(3)]
        started = {client.wait(press, 180)["result"]["runId"] for press in presses}
        try:
            assert len(started) == 1
            assert len(client.request("trickster/listRuns", {})["runs"]) == 1
        finally:
            for run_id in started:
                end_trainer(Path(run_id))


def test_an_interpreter_may_be_a_relative_path_or_a_bare_name(tmp_path: Path, environment: dict[str, str]) -> None:
    path = write_config(tmp_path, 40)
    environments = Path(sys.executable).parent.parent
    (tmp_path / ".venv").symlink_to(environments, target_is_directory=True)
    relative = f".venv/{Path(sys.executable).relative_to(environments).as_posix()}"
    assert resolved(relative, [tmp_path]) == str(tmp_path / relative)
    assert Path(resolved("python3", [])).is_absolute() and resolved("no-such-python", []) == "no-such-python"
    with start(tmp_path, environment, python=relative) as client:
        answer = client.request("trickster/inspect", {"configUri": path.as_uri()}, 120)
        assert answer["data"]
        doctor = client.request("trickster/doctor", {"python": relative}, 120)
        assert doctor["python"] == str(tmp_path / relative)
