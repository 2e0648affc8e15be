"""Measures are functions: built in, of an installed package, or a file of the user's own, named on the command line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import dialogue
from tests.refusals import refused
from tests.walkthroughs.pages import ROOT
from tools.domains_page import keep
from trickster_engine.cli import main
from trickster_engine.data.documents import MARK
from trickster_engine.evaluation.item_measures import find_measure
from trickster_engine.evaluation.items import items_of
from trickster_engine.runs import RunDirectory
from trickster_engine.runs.trained_text import trained_text

Config = Callable[..., Path]
PAGE = (ROOT / "docs/measures.md").read_text(encoding="utf-8")


def _own(folder: Path) -> Path:
    """The measure that the page shows, as a file."""
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(block.splitlines()) <= 20
    path = folder / "limericks.py"
    path.write_text(block, encoding="utf-8")
    return path


@pytest.mark.parametrize("documents", ["stream", "lines"])
def test_a_measure_of_ones_own_in_twenty_lines(
    tiny_config: Config, capsys: pytest.CaptureFixture[str], documents: str
) -> None:
    """Each writer writes whole items: lines, or documents, which may have lines."""
    vocabulary = 256 if documents == "stream" else 257
    path = tiny_config(
        model_config={"vocab_size": vocabulary},
        training_config={"max_steps": 60, "eval_interval": 60, "save_interval": 60},
        data_config={"documents": documents},
    )
    assert main(["train", str(path)]) == 0
    run = RunDirectory(path.parent / "runs" / "tiny-001")
    own = f"{_own(path.parent)}:measure"
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--measure", own, "--items", "40", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    figures = answer["measured"]["figures"][own]
    model, counted, real = figures
    assert (model, real) == ("this model", "held-out text") and counted.endswith("-gram")
    assert all(set(numbers) == {"five lines", "rhyme", "novel"} for numbers in figures.values())
    assert answer["measured"]["items"] == dict.fromkeys(figures, 40)
    assert figures[real]["novel"] > 0, "the training text is another"
    for items in answer["measured"]["first"].values():
        assert items and not any("\n" in item or MARK in item for item in items)
    fast, strided = answer["rows"]
    assert fast["nats"] == pytest.approx(run.summary().best_val_loss, abs=1e-5)
    assert (fast["name"], strided["name"]) == ("this model", "this model, strided")
    assert strided["bits_per_byte"] / strided["nats"] == pytest.approx(fast["bits_per_byte"] / fast["nats"])
    earlier = {**answer, "checkpoint": str(run.path / "checkpoints/step-000030")}
    assert (keep(run, answer, own)["steps"], keep(run, earlier, own)["steps"]) == (60, 30)
    assert main(["evaluate", str(run.path), "--measure", own, "--items", "5"]) == 0
    told = capsys.readouterr().out
    assert "trained model, strided" in told and "validation text" in told and "five lines" in told
    assert main(["report", str(run.path), "--measure", own]) == 0
    page = (run.path / "report.html").read_text("utf-8")
    assert "five lines" in page and "at least half a context" in page


def test_items_are_whole(tiny_config: Config) -> None:
    path = tiny_config()
    assert main(["train", str(path)]) == 0
    run = RunDirectory(path.parent / "runs" / "tiny-001")
    dataset = trained_text(run, *run.begun())
    text = dialogue(500) + "\nnot ended"
    assert list(items_of(dataset, dataset.tokenizer.encode(text))) == [
        line for line in dialogue(500).split("\n") if line
    ]


def test_an_installed_package_offers_a_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _own(tmp_path)
    info = tmp_path / "poems-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: poems\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trickster.measures]\nlimericks = limericks:measure\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert find_measure("limericks")(["a", "b"], {"b"})["novel"] == 0.5
        with refused("measure-unknown") as caught:
            find_measure("limerick")
        assert "chess, limericks, molecules, tunes" in caught.value.advice
    finally:
        sys.modules.pop("limericks", None)


@pytest.mark.parametrize("name", ["nothing.py:measure", "json:no_such", "no_such_module:measure", "chess.py"])
def test_a_measure_that_cannot_be_loaded_is_refused_before_anything_is_measured(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path), "--measure", name]) == 2
    assert "[measure-unknown]" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [None, 3, {"a": float("nan")}, {"a": "b"}, {1: 2.0}])
def test_what_is_no_number_by_name_is_refused(tmp_path: Path, answer: Any) -> None:
    (tmp_path / "wrong.py").write_text(f"nan = float('nan')\ndef measure(items, training):\n    return {answer!r}\n")
    with refused("measure-wrong-answer", "wrong.py"):
        find_measure(f"{tmp_path / 'wrong.py'}:measure")(["x"], set())


def test_a_built_in_measure_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in (("molecules", "rdkit"), ("chess", "chess"), ("tunes", "music21")):
        monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
        measure: Callable[[Sequence[str], Collection[str]], object] = find_measure(name)
        with refused("measure-needs-package", package) as caught:
            measure(["M:4/4 L:1/8 K:C CDEF|"], set())
        assert f"pip install {package}" in caught.value.advice
