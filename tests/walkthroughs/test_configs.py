"""The ready configs: fresh, sound, and different from the baseline in what they say."""

from __future__ import annotations

import dataclasses
import re
import runpy
from typing import Any

import pytest

from tests.walkthroughs.pages import FOLDER, page
from trickster_engine.config import check, preset_plan

MADE = runpy.run_path(str(FOLDER / "make_configs.py"))
VARIANTS = {variant.name: variant for variant in MADE["VARIANTS"]}
EXPERIMENTS = [name for name in VARIANTS if name.startswith("experiments/") and not name.endswith("baseline")]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_config_is_fresh_and_can_be_trained(name: str) -> None:
    path = FOLDER / "configs" / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    assert text == MADE["text_of"](VARIANTS[name]), "run: python walkthroughs/make_configs.py"
    result = check(text, path.parent)
    assert result.plan is not None
    assert [problem for problem in result.problems if problem.severity in ("error", "warning")] == []


def test_there_is_no_other_config() -> None:
    found = {str(path.relative_to(FOLDER / "configs").with_suffix("")) for path in (FOLDER / "configs").rglob("*.yaml")}
    assert found == set(VARIANTS)


def _flat(plan: Any) -> dict[str, Any]:
    return {
        f"{part}.{key}": value for part, values in dataclasses.asdict(plan).items() for key, value in values.items()
    }


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.endswith("baseline")])
def test_a_config_changes_what_it_marks_and_nothing_else(name: str) -> None:
    text = (FOLDER / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    plan = check(text).plan
    assert plan is not None
    before, after = _flat(preset_plan(VARIANTS[name].preset)), _flat(plan)
    changed = {key.split(".")[1] for key in after if after[key] != before[key]}
    marked = set(re.findall(r"^  (\w+):.*# (?:CHANGED|ADDED)", text, flags=re.MULTILINE))
    derived = {"num_kv_heads", "min_learning_rate"}  # follow from others
    assert changed - derived <= marked
    # What is marked and the same is a default made visible.
    assert {key for key in marked - changed if f"{key}:" not in text} == set()


def test_the_baseline_is_pico() -> None:
    plan = check((FOLDER / "configs/experiments/baseline.yaml").read_text(encoding="utf-8")).plan
    assert plan == preset_plan("pico")


def test_the_pages_list_every_config() -> None:
    experiments = set(re.findall(r"tryExperiment\?%22([\w-]+)%22", page("experiment")))
    assert experiments == {name.removeprefix("experiments/") for name in EXPERIMENTS}
    hardware = set(re.findall(r"newConfig\?%22hardware%2F([\w-]+)%22", page("config")))
    assert hardware == {name.removeprefix("hardware/") for name in VARIANTS if name.startswith("hardware/")}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith("hardware/")])
def test_every_board_sees_the_same_batch(name: str) -> None:
    plan = check((FOLDER / "configs" / f"{name}.yaml").read_text(encoding="utf-8")).plan
    assert plan is not None
    assert plan.training.batch_size * plan.training.gradient_accumulation_steps == 32
    assert plan.model == preset_plan("nano").model
