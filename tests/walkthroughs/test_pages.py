"""The pages: short, whole, and leading only to what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import yaml

from tests.walkthroughs.pages import FOLDER, MORE, PAGES, ROOT, STEPS, TROUBLE, page, prose
from trickster_engine.config import check, preset_plan, preset_text, set_values
from trickster_engine.config.shapes import weight_shapes
from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.model.huggingface import write_model

MANIFEST: dict[str, Any] = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))
MOST_WORDS = 550  # three minutes at an unhurried pace
#: Characters of a block that VS Code shows in its walkthrough; the rest is cut off. A command may be a little longer.
SHOWN, MOST_IN_A_COMMAND = 49, 60


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
                if command == "trickster.newConfig":
                    assert (FOLDER / f"configs/{topic}.yaml").is_file()
                    continue
                if command == "trickster.tryExperiment":
                    assert (FOLDER / f"configs/experiments/{topic}.yaml").is_file()
                    continue
                if command == "trickster.predict":
                    assert topic == name  # it asks what its own page asks
                    continue
                assert command == "trickster.openLesson"
                assert topic in (*MORE, *TROUBLE) or any(f"\n## {topic}\n" in page(name) for name in TROUBLE)
            continue
        assert picture or name in (*MORE, *TROUBLE), "the walkthrough cannot follow links to files"
        assert "://" not in target
        file, _, anchor = target.partition("#")
        text = (FOLDER / file).read_text(encoding="utf-8") if file else page(name)
        if anchor:
            assert f"\n## {anchor}\n" in text


@pytest.mark.parametrize("name", PAGES)
def test_configs_on_a_page_are_sound(name: str, tmp_path: Path) -> None:
    """A piece of YAML on a page is what it says when it is written into a preset, beside the model that it names."""
    for block in re.findall(r"```yaml\n(.*?)```", page(name), flags=re.DOTALL):
        pieces = yaml.safe_load(block)
        changes = {f"{section}.{key}": str(value) for section, keys in pieces.items() for key, value in keys.items()}
        if init := changes.get("model_config.init_from"):
            _write_pico(tmp_path / init)
        result = check(set_values(preset_text("pico"), changes), tmp_path if init else None)
        assert result.plan is not None, result.problems
        assert [problem for problem in check(block).problems if problem.severity == "error"] == []


def _write_pico(folder: Path) -> None:
    """The last weights of a run of pico's shape."""
    folder.mkdir(parents=True)
    model = preset_plan("pico").model
    write_model(folder, model, {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(model).items()})
    byte_tokenizer().save(folder)


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


@pytest.mark.parametrize("name", STEPS)
def test_blocks_are_as_narrow_as_the_walkthrough(name: str) -> None:
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page(name), flags=re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            assert len(line) <= (MOST_IN_A_COMMAND if language == "sh" else SHOWN), line


def test_the_list_of_pages_is_whole() -> None:
    listed = re.findall(r"\]\((\S+)\.md\)", page("README"))
    assert listed == [*STEPS, *MORE, *TROUBLE]
    for name in STEPS:
        title = page(name).splitlines()[0].removeprefix("# ").partition(". ")[2]
        assert f"[{title}]({name}.md)" in page("README")
