"""The lesson's pages as the tests see them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "walkthroughs"
STEPS = (
    "decide", "setup", "data", "model", "config", "train",
    "watch", "compare", "learned", "scale", "experiment", "ownText",
    "head", "update", "diagnose",
)  # fmt: skip
TROUBLE = ("troubleshooting", "troubleshooting-tenstorrent", "troubleshooting-layers")
MORE = ("counting", "domains", "teacher")
PAGES = STEPS + MORE + TROUBLE


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def prose(text: str) -> str:
    """What is read: without comments, link targets, pictures' descriptions and marks."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[|#*`>-]+", " ", text)


def without_kept_blocks(text: str) -> str:
    return re.sub(r"<!-- (kept|by hand): [^>]*-->\n.*?<!-- /\1 -->", "", text, flags=re.DOTALL)


def shell_commands(text: str) -> list[str]:
    """Each line of each ```sh block."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]
