"""The JSON answers of the engine's commands as Markdown pages."""

from __future__ import annotations

import json
from typing import Any

from trickster_engine.data.facts import markdown_table
from trickster_engine.evaluation.report.names import title
from trickster_engine.system.printable import printable, printable_text
from trickster_engine.system.units import bits_per_byte


def report(command: str, data: Any, text: str) -> str:
    """The page for a command's answer; the answer as it is where it has an unknown form."""
    try:
        return _PAGES[command](data)
    except (KeyError, TypeError, ValueError, IndexError):
        return text if data is None else f"```json\n{json.dumps(data, indent=2, ensure_ascii=False)}\n```"


def _fenced(text: str) -> str:
    """Text as it is, without the control characters that noise is full of."""
    shown = printable_text(text)
    fence = "```"
    while fence in shown:
        fence += "`"
    return f"{fence}text\n{shown.rstrip()}\n{fence}"


def _inline(text: str) -> str:
    """Text in a line, as it is: nothing in it is read as Markdown."""
    shown = " ".join(printable(text).split())
    fence = "`"
    while fence in shown:
        fence += "`"
    return f"{fence} {shown} {fence}"


def _compare(data: Any) -> str:
    blocks = ["# Proof of learning"]
    rows = ["| predictor | validation loss, nats/token | bits/byte |", "|:--|--:|--:|"]
    for row in data["rows"]:
        rows.append(f"| {title(row['name'])} | {row['nats']:.4f} | {row['bits_per_byte']:.4f} |")
    blocks.append("\n".join(rows))
    for pair in data["samples"]:
        blocks += ["## Untrained model", _fenced(pair["prompt"] + pair["random"])]
        blocks += ["## Trained model", _fenced(pair["prompt"] + pair["trained"])]
    about = f"In {data['characters']:,} characters generated after the prompt, at temperature {data['temperature']:g}:"
    rows = ["| | real words | longest copy |", "|:--|--:|--:|"]
    for name, one in data["texts"].items():
        rows.append(f"| {title(name)} | {one['real_word_share']:.1%} | {one['longest_copied_run']} |")
    blocks += ["## Real words and copied text", about, "\n".join(rows)]
    if copied := data["texts"].get("this model", {}).get("copied"):
        blocks.append(f"The model's longest copy from the training text: {_inline(copied)}.")
    return "\n\n".join(blocks) + "\n"


def _inspect(data: Any) -> str:
    parts = data["parameters"]
    total = parts["total"]
    rows = ["| part | parameters | share |", "|:--|--:|--:|"]
    names = ("embedding", "attention", "mlp", "norms", "output")
    rows += [f"| {name} | {parts[name]:,} | {parts[name] / total:.1%} |" for name in names if parts[name]]
    shapes = ["| layer | kind | output |", "|:--|:--|:--|"]
    shapes += [f"| `{one['name']}` | {one['kind']} | {list(one['output'])} |" for one in data["shapes"]]
    loss = (
        f"Validation loss before training: **{data['random_loss']:.4f}** nats/token; "
        f"a uniform prediction has ln V = {data['uniform_loss']:.4f}."
    )
    return (
        "\n\n".join(
            [
                "# The model before training",
                f"**{total:,}** parameters, {parts['per_block']:,} per block.",
                "\n".join(rows),
                loss,
                "## A sample of the untrained model",
                _fenced(data["prompt"] + data["noise"]),
                "## A forward pass over one sequence",
                "\n".join(shapes),
            ]
        )
        + "\n"
    )


def _prepare(data: Any) -> str:
    train, val = data["train_tokens"], data["val_tokens"]
    blocks = [f"# {_inline(data['name'])}", f"{train:,} training tokens, {val:,} validation tokens."]
    if text := data.get("text"):
        blocks.append(markdown_table(text["table"]))
    for one in data.get("findings", []):
        blocks.append(f"**{one['severity'].capitalize()}**: {one['message']} {one['advice']}")
    baselines = data.get("baselines")
    if isinstance(baselines, dict):
        baselines = [{"name": name, "nats": nats} for name, nats in baselines.items()]
    if baselines:
        per_token = data.get("bytes_per_token")  # not there where an older engine answers
        rows = ["| baseline | validation loss, nats/token | bits/byte |", "|:--|--:|--:|"]
        for one in baselines:
            bits = f"{bits_per_byte(one['nats'], per_token):.4f}" if per_token else "\N{EN DASH}"
            rows.append(f"| {title(one['name'])} | {one['nats']:.4f} | {bits} |")
        blocks.append("\n".join(rows))
    if begins := data.get("begins"):
        blocks += ["The text begins:", _fenced(begins)]
    return "\n\n".join(blocks) + "\n"


#: Findings by level, the most urgent first.
_LEVELS = {"problem": "To fix", "ok": "Available", "note": "Notes"}


def _doctor(data: Any) -> str:
    blocks = ["# This machine"]
    if data["ready"]:
        on = f" on {data['device']}" if data.get("device") else ""
        blocks.append(f"**Ready to train{on}.** Next: *Prepare Dataset* (step 3 of the lesson).")
    blocks.append(f"`device_type: auto` would train on **{data['would_run']}**: {data['why']}")
    for level, heading in _LEVELS.items():
        findings = [finding for finding in data["findings"] if finding["level"] == level]
        if findings:
            blocks.append(f"## {heading}")
            blocks.append("\n".join(f"- {one['title']} {one['next_step']}".rstrip() for one in findings))
    if data["silicon"]:
        blocks.append(data["silicon"])
    return "\n\n".join(blocks) + "\n"


_PAGES = {"compare": _compare, "inspect": _inspect, "prepare": _prepare, "doctor": _doctor}
