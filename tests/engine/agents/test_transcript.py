"""The official client drives a real `trickster mcp`, from a folder of text to a trained and explained model."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.engine.conftest import dialogue, subcommands
from tools.agent_transcript import PAGE, Conversation, converse, render
from trickster_engine.agents.server import TOOLS
from trickster_engine.runs import RunDirectory, read_events

ORIGIN = "example-agent 1.0"


def answers(talk: Conversation, tool: str) -> list[Any]:
    """What a tool answered each time; None where it refused."""
    return [one.get("answer") for one in talk.said if one.get("tool") == tool]


def test_an_agent_comes_from_a_folder_of_text_to_an_explained_model(
    tiny_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = tiny_config(training_config={"max_steps": 6, "eval_interval": 6, "save_interval": 6})
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "trusted"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "play.txt").write_text(dialogue(30_000), encoding="utf-8")
    text = config.rename(elsewhere / "model.yaml").read_text(encoding="utf-8")
    cache = os.environ["TRICKSTER_CACHE_DIR"]
    talk = asyncio.run(converse(folder, text, elsewhere / "model.yaml", TRICKSTER_CACHE_DIR=cache, OMP_NUM_THREADS="1"))

    draft, checked = answers(talk, "check")
    written = text.replace("hidden_dim", "hiden_dim").splitlines()
    (first,) = [one for one in draft["problems"] if one["code"] == "unknown-key"]
    assert not draft["ok"] and written[first["line"] - 1][first["column"] - 1 :].startswith("hiden_dim")
    assert checked["ok"] and checked["text"]["source"]["bytes"] == 30_000

    # A dry run, what the person refused, two runs, and what is untrusted.
    dry, declined, started, longer, refused = answers(talk, "start")
    (estimated,) = answers(talk, "estimate")
    assert dry["dry_run"] and not dry["started"] and not declined["started"] and refused is None
    assert dry["would"]["parameters"] == estimated["parameters"]["total"]
    asked = [one for one in talk.said if "person_is_asked" in one]
    assert [one["agrees"] for one in asked] == [False, True, True]
    assert f"{ORIGIN} asks to train {folder / 'model.yaml'}" in asked[0]["person_is_asked"]
    assert "[untrusted-folder]" in talk.said[-1]["refused"] and str(elsewhere) in talk.said[-1]["refused"]
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["model-001", "model-002"]
    assert not (elsewhere / "runs").exists()

    # What the run's own files say, and what the agent was told, is the same.
    (finished,) = answers(talk, "status")
    (stopped,) = answers(talk, "stop")
    assert (finished["run"], finished["status"], finished["step"]) == (started["run"], "finished", 6)
    assert (stopped["run"], stopped["status"]) == (longer["run"], "stopped") and stopped["step"] < 100_000
    one, two = (RunDirectory(folder / "runs" / name) for name in ("model-001", "model-002"))
    acted = [
        [(event["action"], event["origin"]) for event in read_events(run.events_path)[0] if event["kind"] == "action"]
        for run in (one, two)
    ]
    assert acted == [[("start", ORIGIN)], [("start", ORIGIN), ("stop", ORIGIN)]]
    assert not one.stop_requested() and not two.stop_requested()
    assert stopped["actions"] == [f"started by {ORIGIN}", f"stopped by {ORIGIN} at step {stopped['step']}"]
    (events,) = answers(talk, "events_since")
    assert [event["step"] for event in events["events"] if event["kind"] == "eval"] == [0, 6]
    assert any(words.startswith("status: ") for words in talk.progress)
    assert any(words.startswith("start: The trainer has started") for words in talk.progress)

    side_by_side, proof = answers(talk, "compare")
    assert side_by_side["config_differs"] == {"training_config.max_steps": [6, 100_000]}
    losses = {row["name"]: row["nats"] for row in proof["rows"]}
    assert losses["this model"] < losses["random model"]
    (sample,) = answers(talk, "sample")
    assert sample["samples"][0]["prompt"] == "ROMEO:" and sample["samples"][0]["text"]
    (report,) = answers(talk, "report")
    assert report["verdict"]["words"] and f"started by {ORIGIN}" in Path(report["page"]).read_text(encoding="utf-8")
    assert json.dumps(talk.said, allow_nan=False)


def test_the_page_shows_what_was_recorded_and_the_tools_that_there_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == render(page), "run: python -m tools.agent_transcript render"


def test_the_clients_on_the_page_start_the_server_and_the_skill_names_tools_that_there_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    servers = [next(iter(block.values()))["trickster"] for block in blocks]
    calls = [shlex.split(line) for line in re.findall(r"^claude mcp add (.*)$", page, re.MULTILINE)]
    commands = [server["args"] for server in servers] + [call[call.index("--") + 2 :] for call in calls]
    assert len(commands) == 3
    for command, *arguments in commands:
        assert subcommands()[command].parse_args(arguments).folders

    skill = PAGE.parents[1] / "skills" / "trickster" / "SKILL.md"
    _, front, text = skill.read_text(encoding="utf-8").split("---\n", 2)
    about = yaml.safe_load(front)
    assert about.keys() == {"name", "description"} and about["name"] == skill.parent.name
    assert 100 < len(about["description"]) <= 1024  # what the format of skills allows
    named = set(re.findall(r"\*\*`(\w+)`", text))
    assert named and named <= {tool.__name__ for tool, *_ in TOOLS}
    assert named | {"list_runs"} == {tool.__name__ for tool, *_ in TOOLS}
