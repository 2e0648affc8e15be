"""An agent acts in the folders that a person named, and nowhere else; what it sends is data."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult, Implementation

from tests.refusals import refused
from trickster_engine.agents.configs import with_overrides
from trickster_engine.agents.server import make_server
from trickster_engine.agents.trusted import TrustedFolders
from trickster_engine.cli import main
from trickster_engine.config.check import settings_of
from trickster_engine.config.keys import KEYS
from trickster_engine.runs import RunDirectory

CONFIG = "data_config:\n  corpus: {corpus}\n"
Talk = Callable[[Client], Awaitable[None]]


def talked(folder: Path, talk: Talk, **options: Any) -> None:
    """Let a client of today's protocol talk with a server."""

    async def run() -> None:
        async with Client(make_server(TrustedFolders([folder])), **options) as client:
            await talk(client)

    asyncio.run(run())


async def words(client: Client, tool: str, **arguments: Any) -> str:
    """In which words a tool refuses."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer.structured_content
    return str(answer.content[0].text)  # type: ignore[union-attr]


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """A trusted folder beside a secret one."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "diary.txt").write_text("nobody's business\n" * 500, encoding="utf-8")
    folder = tmp_path / "trusted"
    folder.mkdir()
    return folder


def test_what_a_config_names_must_lie_in_a_trusted_folder(trusted: Path) -> None:
    secret = trusted.parent / "secret"
    (trusted / "way").symlink_to(secret, target_is_directory=True)
    (trusted / "texts").mkdir()
    (trusted / "texts" / "own.txt").write_text("one's own text\n" * 500, encoding="utf-8")
    (trusted / "texts" / "linked.txt").symlink_to(secret / "diary.txt")
    (trusted / "model").mkdir()
    (trusted / "model" / "model.safetensors").symlink_to(secret / "diary.txt")
    (trusted / "config.yaml").symlink_to(secret / "diary.txt")
    folders = TrustedFolders([trusted])
    lines = [
        "data_config: {corpus: ../secret/diary.txt}",
        "data_config: {corpus: way/diary.txt}",
        "data_config: {corpus: way}",
        "data_config: {corpus: texts}",
        "data_config: {corpus: [{path: texts/own.txt, weight: 1}, {path: /etc/hostname, weight: 1}]}",
        "data_config: {train_data: texts, val_data: texts/own.txt}",
        f"data_config: {{tokenizer: {secret}}}",
        "model_config: {init_from: model}",
        "training_config: {distill_from: ../secret}",
        "training_config: {distill_from: [texts, model]}",
        "output_config: {output_dir: ../secret}",
        "output_config: {checkpoint_dir: way}",
        "output_config: {log_dir: ~/elsewhere}",
    ]
    for line in lines:
        with refused("untrusted-folder"):
            folders.checked(line, trusted)
    for path in ("../secret", "way/diary.txt", "config.yaml", str(secret), "a\0b", ""):
        with refused("untrusted-folder"):
            folders.place(path)
    assert folders.checked("data_config: {corpus: texts/own.txt, tokenizer: char}", trusted).plan is not None
    assert folders.checked("data_config: {corpus: shakespeare}", trusted).plan is not None
    moved = trusted / "project"
    moved.mkdir()
    (moved / "runs").symlink_to(secret, target_is_directory=True)
    with refused("untrusted-folder"):
        folders.checked("data_config: {corpus: shakespeare}", moved)
    with refused("folder-missing"):
        TrustedFolders([trusted / "nowhere"])
    # A key that is not known here may name a place, a program or an address: then `checked` has to look at it (of a
    # webhook, `start`: `require_webhook`).
    assert {key.type for key in KEYS.values()} == {
        "boolean", "integer", "mesh", "number", "path", "paths", "patterns", "sources", "text",
    }  # fmt: skip
    assert {name for name, key in KEYS.items() if key.type == "text" and not key.choices} == {
        "alerts_config.webhook", "data_config.document_separator", "data_config.text_field", "sampling_config.prompt",
    }  # fmt: skip


def test_a_foreign_model_is_read_as_safetensors_and_never_unpickled(trusted: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trusted / "sprung"),)

    model = trusted / "model"
    model.mkdir()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    (model / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")

    async def talk(client: Client) -> None:
        assert await words(client, "sample", model="model")
        assert "[untrusted-folder]" in await words(client, "sample", model=str(trusted.parent / "secret"))
        assert "max_new_tokens" in await words(client, "sample", model="model", max_new_tokens=10**9)
        assert "checkpoint" in await words(client, "sample", model="model", checkpoint="../../secret")

    talked(trusted, talk)
    assert not (trusted / "sprung").exists()


@pytest.mark.parametrize(("mode", "asked"), [("legacy", 1), ("auto", 2)])
def test_a_config_that_changes_while_the_person_is_asked_is_not_trained(trusted: Path, mode: str, asked: int) -> None:
    """Before the protocol of 2026 the call waits for the answer and is refused; since then it asks once more."""
    config = trusted / "model.yaml"
    config.write_text(CONFIG.format(corpus="shakespeare"), encoding="utf-8")
    questions: list[str] = []

    async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        questions.append(params.message)
        if len(questions) > 1:
            return ElicitResult(action="decline")
        config.write_text(f"training_config:\n  max_steps: 2077\n{config.read_text('utf-8')}", encoding="utf-8")
        return ElicitResult(action="accept", content={"start": True})

    async def talk(client: Client) -> None:
        answer = await client.call_tool("start", {"config": "model.yaml", "confirm": True})
        if asked == 1:
            assert "[config-changed]" in answer.content[0].text  # type: ignore[union-attr]
        else:
            assert answer.structured_content is not None and not answer.structured_content["started"]

    talked(trusted, talk, mode=mode, elicitation_callback=ask)
    assert len(questions) == asked
    assert ["2,077 steps" in question for question in questions] == [False, True][:asked]
    assert not (trusted / "runs").exists()


def test_an_agent_names_several_teachers_in_trusted_folders_only(trusted: Path) -> None:
    text = "training_config: {seed: 3}\n"
    folders = TrustedFolders([trusted])
    named = with_overrides(text, {"training_config.distill_from": ["a, b", "c"]})
    assert settings_of(named).value("training_config.distill_from") == ("a, b", "c")
    with refused("untrusted-folder"):
        folders.checked(with_overrides(text, {"training_config.distill_from": ["a", "../secret"]}), trusted)


def test_alerts_are_sent_only_where_a_person_said(trusted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = "https://example.org/hook?secret"
    config = CONFIG.format(corpus="shakespeare")
    (trusted / "model.yaml").write_text(config, encoding="utf-8")
    (trusted / "sends.yaml").write_text(f"{config}alerts_config: {{webhook: '{address}'}}\n", encoding="utf-8")
    override = {"alerts_config.webhook": address}

    async def talk(client: Client) -> None:
        for asked in ({"config": "sends.yaml"}, {"config": "model.yaml", "overrides": override}):
            said = await words(client, "start", **asked)
            assert "[untrusted-webhook]" in said and address not in said

    talked(trusted, talk)
    plan = TrustedFolders([trusted]).checked((trusted / "sends.yaml").read_text("utf-8"), trusted).plan
    assert plan is not None  # a person's run with a webhook can still be measured
    TrustedFolders([trusted], [address]).require_webhook(plan)
    with refused("untrusted-webhook"):
        TrustedFolders([trusted], ["https://example.org/"]).require_webhook(plan)
    # The trainer reads the file again: what was written into it meanwhile is not trained.
    assert main(["train", str(trusted / "model.yaml"), f"--agreed={'0' * 64}"]) == 1
    assert "has changed since its training was agreed to" in capsys.readouterr().err
    assert not (trusted / "runs").exists()


def test_the_origin_is_one_short_line_whatever_a_client_calls_itself(trusted: Path) -> None:
    (trusted / "run").mkdir()
    run = RunDirectory(trusted / "run")
    run.request_stop("evil\x1b[31m\x07 agent\nforged")
    assert run.stop_requested() and run.stop_origin() == "evil·[31m· agent"
    run.clear_stop_request()
    os.mkfifo(run.path / "stop") if hasattr(os, "mkfifo") else (run.path / "stop").mkdir()
    assert run.stop_requested() and run.stop_origin() == ""  # and it does not wait for a writer
    config = trusted / "model.yaml"
    config.write_text(CONFIG.format(corpus="shakespeare"), encoding="utf-8")
    asked: list[str] = []

    async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="cancel")

    async def talk(client: Client) -> None:
        await client.call_tool("start", {"config": "model.yaml", "confirm": True})

    name = Implementation(name="an\nagent\x1b[2J " + "x" * 5000, version="1\r\n2")
    talked(trusted, talk, client_info=name, elicitation_callback=ask)
    first = asked[0].split(" asks to train ")[0]
    assert first.isprintable() and len(first) < 200
