"""The lesson's own files: tensors are read, anything that could run code is refused, and torch stays away otherwise."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trickster_engine.config.plan import Plan
from trickster_engine.data import index as index_module
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import TricksterError

MakePlan = Callable[..., Plan]
TEXT = "To be, or not to be: that is the question.\n" * 20


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    """A folder as the lesson's preprocessing leaves it."""
    characters = sorted(set(TEXT))
    stoi = {character: index for index, character in enumerate(characters)}
    ids = torch.tensor([stoi[character] for character in TEXT], dtype=torch.long)
    boundary = int(len(ids) * 0.9)
    (tmp_path / "data").mkdir()
    torch.save(ids[:boundary].clone(), tmp_path / "data" / "train.pt")
    torch.save(ids[boundary:].clone(), tmp_path / "data" / "val.pt")
    itos = dict(enumerate(characters))
    document = {"stoi": stoi, "itos": itos, "vocab_size": len(characters)}
    torch.save(document, tmp_path / "data" / "tokenizer.pt")
    return tmp_path


@pytest.fixture
def plan(plan_for: MakePlan) -> Plan:
    return plan_for(train_data="data/train.pt", val_data="data/val.pt", tokenizer="data/tokenizer.pt")


def _error(plan: Plan, folder: Path) -> TricksterError:
    with pytest.raises(TricksterError) as caught:
        prepare(plan, folder, progress=False)
    return caught.value


def test_the_lessons_files_give_the_same_dataset_as_its_text(lesson: Path, plan: Plan, plan_for: MakePlan) -> None:
    dataset = prepare(plan, lesson, progress=False)
    assert dataset.train_text() + dataset.val_text() == TEXT
    assert len(dataset.train) == int(len(TEXT) * 0.9) and dataset.train[:].dtype == np.uint8
    assert dataset.train_characters == len(dataset.train)
    assert dataset.tokenizer.kind == "char"
    boundary = int(len(TEXT) * 0.9)
    (lesson / "train.txt").write_text(TEXT[:boundary])
    (lesson / "val.txt").write_text(TEXT[boundary:])
    own = prepare(plan_for(train_data="train.txt", val_data="val.txt", tokenizer="char"), lesson, progress=False)
    assert own.fingerprint == dataset.fingerprint


def test_the_tokenizer_beside_the_tokens_is_found(lesson: Path, plan_for: MakePlan) -> None:
    plan = plan_for(train_data="data/train.pt", val_data="data/val.pt")
    assert prepare(plan, lesson, progress=False).train_text(6) == "To be,"


def test_without_a_tokenizer_the_tokens_are_bytes_if_the_config_says_so(lesson: Path, plan_for: MakePlan) -> None:
    (lesson / "data" / "tokenizer.pt").unlink()
    for name, part in (("train", TEXT), ("val", "né")):
        torch.save(torch.tensor(list(part.encode()), dtype=torch.uint8), lesson / "data" / f"{name}.pt")
    plan = plan_for(train_data="data/train.pt", val_data="data/val.pt", tokenizer="byte")
    dataset = prepare(plan, lesson, progress=False)
    assert dataset.train_text() == TEXT
    assert (dataset.val_characters, len(dataset.val)) == (2, 3)
    plan = plan_for(train_data="data/train.pt", val_data="data/val.pt", tokenizer="char")
    assert _error(plan, lesson).code == "data-file-missing"


def test_the_lessons_tokenizer_reads_text_too(lesson: Path, plan_for: MakePlan) -> None:
    (lesson / "more.txt").write_text("not to be that question " * 10)
    dataset = prepare(plan_for("more.txt", "data/tokenizer.pt"), lesson, progress=False)
    assert dataset.train_text() + dataset.val_text() == "not to be that question " * 10
    (lesson / "more.txt").write_text("not to be; " * 20)
    error = _error(plan_for("more.txt", "data/tokenizer.pt"), lesson)
    assert error.code == "unknown-characters" and "';'" in error.message


@pytest.mark.parametrize("form", ["stoi only", "itos dict", "itos list"])
def test_forms_of_the_tokenizer(lesson: Path, plan: Plan, form: str) -> None:
    characters = sorted(set(TEXT))
    document: dict[str, Any] = {"stoi": {character: index for index, character in enumerate(characters)}}
    if form == "itos dict":
        document = {"itos": dict(enumerate(characters))}
    elif form == "itos list":
        document = {"itos": characters}
    torch.save(document, lesson / "data" / "tokenizer.pt")
    assert prepare(plan, lesson, progress=False).train_text(9) == "To be, or"


def test_the_second_call_does_without_torch(lesson: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    fingerprint = prepare(plan, lesson, progress=False).fingerprint
    script = (
        "import sys, pathlib\n"
        "from trickster_engine.config.plan import DataConfig, ModelConfig, Plan\n"
        "from trickster_engine.data.prepare import prepare\n"
        "plan = Plan(model=ModelConfig(max_seq_len=16), data=DataConfig(train_data='data/train.pt',"
        " val_data='data/val.pt', tokenizer='data/tokenizer.pt'))\n"
        "print(prepare(plan, pathlib.Path(sys.argv[1]), progress=False).fingerprint, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(lesson)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [fingerprint, "False"]


class _Attack:
    """Unpickled without care, this creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("name", ["train.pt", "val.pt", "tokenizer.pt"])
@pytest.mark.parametrize("how", ["torch", "plain pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    lesson: Path, plan: Plan, cache: Path, name: str, how: str
) -> None:
    target = lesson / "attacked"
    if how == "torch":
        torch.save({"stoi": _Attack(target)}, lesson / "data" / name)
    else:
        (lesson / "data" / name).write_bytes(pickle.dumps(_Attack(target)))
    error = _error(plan, lesson)
    assert error.code == "data-file-unsafe" and name in error.message
    assert not target.exists()
    assert list((cache / "datasets").iterdir()) == []
    pickle.loads(pickle.dumps(_Attack(target)))  # the attack is a real one
    assert target.exists()


def test_numpy_arrays_are_told_how_to_become_tensors(lesson: Path, plan: Plan) -> None:
    torch.save(np.arange(100), lesson / "data" / "train.pt")
    assert "torch.tensor" in _error(plan, lesson).advice


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_files(lesson: Path, plan: Plan, share: float) -> None:
    path = lesson / "data" / "train.pt"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    error = _error(plan, lesson)
    assert error.code in ("data-file-damaged", "data-file-unsafe") and "train.pt" in error.message
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2, 3], "list"),
        ({"a": 1}, "dict"),
        (torch.zeros(10), "float32"),
        (torch.zeros(2, 5, dtype=torch.long), "2 by 5"),
        (torch.tensor([1, 2, 99]), "id 99"),
        (torch.tensor([1, -2, 3]), "id -2"),
    ],
)
def test_tensors_that_hold_no_tokens(lesson: Path, plan: Plan, content: Any, words: str) -> None:
    torch.save(content, lesson / "data" / "train.pt")
    error = _error(plan, lesson)
    assert error.code == "data-file-wrong" and words in error.message


@pytest.mark.parametrize(
    "content",
    [
        torch.zeros(3),
        {},
        {"stoi": {}},
        {"stoi": {"a": "b"}},
        {"stoi": {"a": -1}},
        {"stoi": {"": 1}},
        {"stoi": {"a": 1, "b": 1}},
        {"stoi": {"a": 0, "b": 1}, "itos": {0: "b", 1: "a"}},
    ],
)
def test_tokenizers_that_are_none(lesson: Path, plan: Plan, content: Any) -> None:
    torch.save(content, lesson / "data" / "tokenizer.pt")
    assert _error(plan, lesson).code == "data-file-wrong"


@pytest.mark.parametrize("name", ["train.pt", "val.pt", "tokenizer.pt"])
def test_missing_files_are_named(lesson: Path, plan: Plan, name: str) -> None:
    (lesson / "data" / name).unlink()
    error = _error(plan, lesson)
    assert error.code == "data-file-missing" and str(Path("data") / name) in error.message


def test_too_short_and_too_small(lesson: Path, plan: Plan, plan_for: MakePlan) -> None:
    torch.save(torch.zeros(1, dtype=torch.long), lesson / "data" / "val.pt")
    assert _error(plan, lesson).code == "corpus-too-short"
    torch.save(torch.zeros(30, dtype=torch.long), lesson / "data" / "val.pt")
    small = plan_for(train_data="data/train.pt", val_data="data/val.pt", vocab_size=5)
    assert _error(small, lesson).code == "vocabulary-too-small"


def test_the_older_file_format_of_torch(lesson: Path, plan: Plan) -> None:
    tokens = torch.load(lesson / "data" / "train.pt", weights_only=True)
    torch.save(tokens.to(torch.int16), lesson / "data" / "train.pt", _use_new_zipfile_serialization=False)
    assert prepare(plan, lesson, progress=False).train_text(9) == "To be, or"
