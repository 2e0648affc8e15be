"""Pages and schema are what the tables say, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engine.config.support import LESSON
from tools.config_reference import ROOT, pages
from tools.config_schema import schema
from tools.problem_docs import PROBLEM_DOCS
from trickster_engine.config import KEYS, SECTIONS, check


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path: Path) -> None:
    assert path.read_bytes() == pages()[path].encode("utf-8"), "run: python -m tools.config_reference"


def test_every_key_and_every_code_has_its_heading() -> None:
    config = (ROOT / "docs" / "config.md").read_text(encoding="utf-8").splitlines()
    problems = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8").splitlines()
    assert {f"### {path}" for path in KEYS} <= set(config)
    assert {f"### {code}" for code in PROBLEM_DOCS} <= set(problems)


def test_every_key_is_documented_in_sentences() -> None:
    for key in KEYS.values():
        assert key.doc.endswith("."), key.path
        assert key.effect == "" or key.effect.endswith("."), key.path
        for value, doc in key.named_values.items():
            assert doc.endswith("."), (key.path, value)
        assert "  " not in key.doc + key.effect, key.path
    assert all(section.doc.endswith(".") for section in SECTIONS.values())


# A reader for the part of JSON Schema draft-07 that is used here, so that the schema is tried and not only compared.
def _accepts(rule: dict[str, Any], value: Any) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "anyOf" in rule:
        return any(_accepts(each, value) for each in rule["anyOf"])
    if "enum" in rule:
        return value in rule["enum"]
    allowed = [rule["type"]] if isinstance(rule["type"], str) else rule["type"]
    if isinstance(value, bool):
        return "boolean" in allowed
    if not any(isinstance(value, kinds[name]) for name in allowed):
        return False
    if isinstance(value, dict):
        return all(_accepts(rule["properties"][key], each) for key, each in value.items() if key in rule["properties"])
    if isinstance(value, list):
        fits = rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value))
        return fits and all(_accepts(rule["items"], item) for item in value)
    if isinstance(value, (int, float)):
        return (
            rule.get("minimum", value) <= value <= rule.get("maximum", value)
            and not value <= rule.get("exclusiveMinimum", value - 1)
            and not value >= rule.get("exclusiveMaximum", value + 1)
        )
    return True


def _plain(text: str) -> dict[str, Any]:
    """A config as a YAML 1.2 reader sees it."""
    from trickster_engine.config import parse
    from trickster_engine.config.yaml.nodes import Mapping, Scalar, Sequence

    def value(node: object) -> Any:
        if isinstance(node, Scalar):
            return node.value
        if isinstance(node, Sequence):
            return [value(item) for item in node.items]
        assert isinstance(node, Mapping)
        return {entry.key.text: value(entry.value) for entry in node.entries}

    result: dict[str, Any] = value(parse(text).root)
    return result


def test_the_schema_accepts_the_lessons_file() -> None:
    assert _accepts(schema(), _plain(LESSON))


def test_the_schema_and_the_checker_agree_about_single_values() -> None:
    values = ["0", "1", "-1", "2", "0.5", "1.0", "1.5", "1e9", "abc", "byte", "adamw", "true", "null", "[1, 2]", "[0]"]
    for key in KEYS.values():
        for value in values:
            text = f"{key.section}:\n  {key.name}: {value}\n"
            complaints = [
                problem
                for problem in check(text).problems
                if problem.code in ("wrong-type", "out-of-range", "unknown-value", "missing-value")
            ]
            if value == "1.0" and key.type == "integer":
                continue  # draft-07 and we both take it for a whole number; this test's reader does not
            if (key.type, value) == ("integer", "1e9") or key.path == "data_config.tokenizer":
                continue
            assert _accepts(schema(), _plain(text)) == (not complaints), (text, complaints)


def test_the_schema_does_not_forbid_unknown_keys() -> None:
    assert "additionalProperties" not in json.dumps(schema())
    assert _accepts(schema(), {"model_config": {"wings": 2}, "wheels": {}})
