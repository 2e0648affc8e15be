"""An agent's work from a folder of text to an explained model, by `trickster mcp` and the official Python client.

The test runs it on a tiny model. `python -m tools.agent_transcript record FOLDER` runs it on the text in FOLDER and
keeps what was said in docs/agents/transcript.json; `render` writes that, and the table of tools, into docs/agents.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.client.stdio import StdioServerParameters, get_default_environment
from mcp.types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult, Implementation

from trickster_engine.agents.server import make_server
from trickster_engine.agents.trusted import TrustedFolders
from trickster_engine.system.programs import python_command
from trickster_engine.system.units import size_text

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "agents" / "transcript.json"
PAGE = ROOT / "docs" / "agents.md"
AGENT = Implementation(name="example-agent", version="1.0")
CONFIG = """\
model_config:
  hidden_dim: 32
  num_layers: 2
  num_heads: 2
  mlp_dim: 64
  max_seq_len: 32
training_config:
  batch_size: 8
  max_steps: 60
  warmup_steps: 10
  learning_rate: 0.003
  optimizer: muon
  eval_interval: 30
device_config:
  device_type: cpu
data_config:
  corpus: {corpus}
sampling_config:
  prompt: "{prompt}"
  max_new_tokens: 60
"""


@dataclass
class Conversation:
    """A client that writes down what it asks, what it is told, and what the person is asked."""

    said: list[dict[str, Any]] = field(default_factory=list)
    agrees: bool = False
    progress: list[str] = field(default_factory=list)
    _client: Client | None = None

    async def ask_person(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """Answer for the person."""
        assert isinstance(params, ElicitRequestFormParams)
        self.said.append({"person_is_asked": params.message, "agrees": self.agrees})
        return ElicitResult(action="accept", content={"start": True}) if self.agrees else ElicitResult(action="decline")

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool, and return its result, or the words in which it refuses."""
        assert self._client is not None

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            self.progress.append(f"{tool}: {message} ({progress:g} of {total})")

        answer = await self._client.call_tool(tool, arguments, progress_callback=heard)
        words = answer.content[0].text if answer.is_error else None  # type: ignore[union-attr]
        said = {"refused": words} if answer.is_error else {"answer": answer.structured_content}
        self.said.append({"tool": tool, "arguments": arguments, **said})
        return words if answer.is_error else answer.structured_content


async def converse(folder: Path, config: str, untrusted: Path, **environment: str) -> Conversation:
    """The whole conversation: `folder` holds the text that `config` names, `untrusted` another config."""
    talk = Conversation()
    command = python_command("trickster_engine", "mcp", f"--folder={folder}")
    server = StdioServerParameters(
        command=command[0], args=command[1:], env={**get_default_environment(), **environment}, cwd=folder
    )
    async with Client(server, mode="legacy", client_info=AGENT, elicitation_callback=talk.ask_person) as client:
        talk._client = client
        await talk.call("check", text=config.replace("hidden_dim", "hiden_dim"))
        (folder / "model.yaml").write_text(config, encoding="utf-8")  # with the agent's own tools
        await talk.call("check", config="model.yaml")
        await talk.call("estimate", config="model.yaml")
        await talk.call("start", config="model.yaml")
        await talk.call("start", config="model.yaml", confirm=True)
        talk.agrees = True
        first = (await talk.call("start", config="model.yaml", confirm=True))["run"]
        await talk.call("status", run=first, wait_seconds=600)
        await talk.call("events_since", run=first, kinds=["eval", "action"])
        longer = {"training_config.max_steps": 100_000}
        second = (await talk.call("start", config="model.yaml", confirm=True, overrides=longer))["run"]
        await talk.call("stop", run=second, wait_seconds=600)
        await talk.call("compare", run=first, other=second)
        await talk.call("compare", run=first)
        await talk.call("sample", model=first, max_new_tokens=60, seed=1)
        await talk.call("report", run=first)
        await talk.call("start", config=str(untrusted), confirm=True)
    return talk


# ---- the page --------------------------------------------------------------------------------------------------------


def tool_table() -> str:
    """The tools that the server itself lists."""

    async def listed() -> str:
        async with Client(make_server(TrustedFolders([ROOT]))) as client:
            tools = (await client.list_tools()).tools
        rows = []
        for tool in tools:
            reads = tool.annotations is not None and tool.annotations.read_only_hint
            first = (tool.description or "").split("\n\n")[0].replace("\n", " ")
            arguments = ", ".join(f"`{name}`" for name in tool.input_schema["properties"])
            rows.append(f"| `{tool.name}` | {'reads' if reads else 'acts'} | {arguments} | {first} |")
        return "\n".join(["| tool | | arguments | |", "|---|---|---|---|", *rows])

    return asyncio.run(listed())


def transcript(said: list[dict[str, Any]]) -> str:
    """What was said, for people: each call, and of its answer what matters there."""
    lines = []
    for one in said:
        if "person_is_asked" in one:
            lines.append(f"    the person is asked: {one['person_is_asked']}\n    → {'yes' if one['agrees'] else 'no'}")
            continue
        arguments = {name: value for name, value in one["arguments"].items() if name != "text"}
        written = json.dumps(arguments, ensure_ascii=False) if arguments else '{"text": "model_config: …"}'
        lines.append(f"{one['tool']} {written}")
        lines.append(f"    → {one['refused'] if 'refused' in one else _shown(one['tool'], one['answer'])}")
    return "\n".join(["```text", *lines, "```"])


def _shown(tool: str, answer: dict[str, Any]) -> str:
    if tool == "check":
        return _checked(answer)
    if tool == "estimate":
        memory = size_text(answer["memory"]["training"]["total"])
        tokens = answer["text"]["tokens_in_run"]
        return f"{answer['parameters']['total']:,} parameters, {memory} of memory, {tokens:,} tokens"
    if tool == "start":
        return _started(answer)
    if tool == "events_since":
        return "; ".join(map(_event, answer["events"]))
    if tool == "compare":
        return _compared(answer)
    if tool == "sample":
        return repr(answer["samples"][0]["prompt"] + answer["samples"][0]["text"])
    return str(answer["verdict"]["words"]) if tool == "report" else _standing(answer)


def _checked(answer: dict[str, Any]) -> str:
    first = next(iter(answer["problems"]), None)
    if first is None:
        return "ok, no problems"
    place = f"line {first['line']}, column {first['column']}"
    return f"{'ok' if answer['ok'] else 'not ok'}: {place}: {first['message']} [{first['code']}]"


def _started(answer: dict[str, Any]) -> str:
    if answer["started"]:
        return f"started: {answer['run']}, {', '.join(answer['actions'])}"
    if answer["dry_run"]:
        would = answer["would"]
        return f"a dry run: {would['steps']:,} steps, {would['parameters']:,} parameters. {answer['next']}"
    return f"not started. {answer['why']}"


def _standing(answer: dict[str, Any]) -> str:
    loss = answer["best_val_loss"]
    best = "" if loss is None else f", best validation loss {loss:.4f}"
    bar = answer["best_ngram"]
    beside = "" if bar is None or loss is None else f" (best n-gram: {bar['val_loss']:.4f})"
    return f"{answer['status']} at step {answer['step']:,}{best}{beside}; {', '.join(answer['actions'])}"


def _event(event: dict[str, Any]) -> str:
    if event["kind"] == "action":
        return f"{event['action']} by {event['origin']}"
    return f"step {event['step']}: validation {event['val_loss']:.3f}, training {event['train_loss']:.3f}"


def _compared(answer: dict[str, Any]) -> str:
    if "rows" in answer:
        return "; ".join(f"{row['title']} {row['nats']:.3f}" for row in answer["rows"])
    runs = "; ".join(f"{one['run']}: {_standing(one)}" for one in answer["runs"])
    return f"{runs}; differ in {json.dumps(answer['config_differs'])}"


def render(page: str) -> str:
    """The page with its two blocks made anew."""
    said = json.loads(RECORD.read_text(encoding="utf-8"))["said"]
    for name, block in (("tools", tool_table()), ("transcript", transcript(said))):
        begin, end = f"<!-- {name}: python -m tools.agent_transcript render -->", f"<!-- /{name} -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{block}\n\n{end}{rest.split(end, 1)[1]}"
    return page


def main() -> None:
    """Record or render."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("record", "render"))
    parser.add_argument("folder", nargs="?", type=Path, help="with the text play.txt; where it is trained too")
    options = parser.parse_args()
    if options.action == "record":
        folder = options.folder.resolve()
        untrusted = folder.parent / "elsewhere"
        untrusted.mkdir(exist_ok=True)
        config = CONFIG.format(corpus="play.txt", prompt="ROMEO:")
        shutil.copy(folder / "play.txt", untrusted)
        (untrusted / "model.yaml").write_text(config, encoding="utf-8")
        talk = asyncio.run(converse(folder, config, untrusted / "model.yaml", TRICKSTER_CACHE_DIR=str(folder.parent)))
        RECORD.parent.mkdir(exist_ok=True)
        kept = json.dumps({"said": talk.said}, indent=1, ensure_ascii=False)
        kept = kept.replace(str(folder), "/home/you/play").replace(str(untrusted), "/elsewhere")
        RECORD.write_text(f"{kept}\n", encoding="utf-8")
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
