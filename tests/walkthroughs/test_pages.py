"""The pages: short, whole, and leading only to what exists."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest

from tests.walkthroughs.pages import FOLDER, PAGES, ROOT, STEPS, TROUBLE, page, prose

MANIFEST: dict[str, Any] = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
MOST_WORDS = 550  # three minutes at an unhurried pace


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_read_in_three_minutes(name: str) -> None:
    words = len(prose(page(name)).split())
    assert 150 < words <= MOST_WORDS


@pytest.mark.parametrize("name", STEPS)
def test_a_step_has_a_picture_an_action_and_evidence(name: str) -> None:
    text = page(name)
    assert f"](pictures/{name}.svg)" in text
    assert "## Do it" in text or name == "watch"
    assert "](command:trickster." in text
    assert re.search(r"^\*Ticked (when|by) .*\.\*$", text, flags=re.MULTILINE)
    assert text.startswith(f"# {STEPS.index(name) + 1}. ")


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    commands = {entry["command"] for entry in MANIFEST["contributes"]["commands"]}
    for picture, target in re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", page(name)):
        if target.startswith("command:"):
            command, _, argument = target.removeprefix("command:").partition("?")
            assert command in commands
            if argument:
                topic = json.loads(unquote(argument))
                if command == "trickster.tryExperiment":
                    assert (FOLDER / f"configs/experiments/{topic}.yaml").is_file()
                    continue
                assert command == "trickster.openLesson"
                assert topic in TROUBLE or any(f"\n## {topic}\n" in page(name) for name in TROUBLE)
            continue
        assert picture or name in TROUBLE, "the walkthrough cannot follow links to files"
        assert "://" not in target
        file, _, anchor = target.partition("#")
        text = (FOLDER / file).read_text(encoding="utf-8") if file else page(name)
        if anchor:
            assert f"\n## {anchor}\n" in text


def test_the_steps_are_those_of_the_walkthrough_and_of_the_checklist() -> None:
    (walkthrough,) = MANIFEST["contributes"]["walkthroughs"]
    assert [step["id"] for step in walkthrough["steps"]] == list(STEPS)
    for step in walkthrough["steps"]:
        assert step["media"]["markdown"] == f"walkthroughs/{step['id']}.md"
        assert step["completionEvents"]
        for event in step["completionEvents"]:
            assert re.match(rf"onContext:trickster\.step\.{step['id']}\b", event)
    checklist = (ROOT / "extension/src/lesson/steps.ts").read_text(encoding="utf-8")
    assert re.findall(r"^    id: '(\w+)'", checklist, flags=re.MULTILINE) == list(STEPS)


@pytest.mark.parametrize("name", PAGES)
def test_the_text_is_plain(name: str) -> None:
    text = page(name)
    shown = re.sub(r"\]\([^)]*\)", "]", text)
    assert all(len(line) <= 126 for line in shown.splitlines() if not line.startswith(("|", "!")))
    assert not re.search(
        r"\b(revenue|ARR|startup|amazing|powerful|state-of-the-art|SOTA|congratulations)\b", text, re.I
    )
    assert not re.search(r"[\U0001F300-\U0001FAFF\u2705\u26A0]", text)
    assert "\u2014" not in text


def test_the_list_of_pages_is_whole() -> None:
    listed = re.findall(r"\]\((\S+)\.md\)", page("README"))
    assert listed == [*STEPS, *TROUBLE]
    for name in STEPS:
        title = page(name).splitlines()[0].removeprefix("# ").partition(". ")[2]
        assert f"[{title}]({name}.md)" in page("README")
