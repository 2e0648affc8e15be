"""Whatever a path leads to, the answer comes at once and says what is there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.refusals import refused
from trickster_engine.cli.arguments import read_text
from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.data.corpus import CorpusFile, describe_corpus
from trickster_engine.data.make_tokenizer import load_tokenizer, train_bpe
from trickster_engine.data.prepare import prepare
from trickster_engine.data.read_text import read_text_chunks
from trickster_engine.errors import TricksterError
from trickster_engine.interop.tt_train_config import convert, is_tt_train, quick_fix

MakePlan = Callable[..., Plan]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """One of each kind of thing that is no plain file of a sensible size, and links to them."""
    if sys.platform == "win32":
        pytest.skip("FIFOs, devices and sockets")
    found = {"device": Path("/dev/zero"), "folder": tmp_path / "folder", "FIFO": tmp_path / "fifo"}
    found["folder"].mkdir()
    os.mkfifo(found["FIFO"])
    found["socket"] = tmp_path / "socket"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(found["socket"]))
    found["endless link"] = tmp_path / "loop"
    found["endless link"].symlink_to(found["endless link"])
    found["link to a device"] = tmp_path / "zero"
    found["link to a device"].symlink_to("/dev/zero")
    found["sparse file"] = tmp_path / "sparse"
    with found["sparse file"].open("wb") as file:
        file.truncate(1 << 40)
    yield found
    listening.close()


KINDS = ["device", "folder", "FIFO", "socket", "endless link", "link to a device", "sparse file"]
SAID = {
    "device": "is a device",
    "link to a device": "is a device",
    "folder": "is a folder",
    "FIFO": "is a FIFO",
    "socket": "is a socket",
    "endless link": "symbolic links",
    "sparse file": "more than",
}


class _Answered:
    """An error, and within two seconds."""

    def __enter__(self) -> _Answered:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        assert time.monotonic() - self._began < 2
        assert isinstance(error, TricksterError), error
        self.error = error
        return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_config(places: dict[str, Path], kind: str) -> None:
    with _Answered() as answered:
        read_text(places[kind])
    assert answered.error.code == "config-unreadable" and SAID[kind] in answered.error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus(plan_for: MakePlan, places: dict[str, Path], tmp_path: Path, kind: str) -> None:
    with _Answered() as answered:
        prepare(plan_for(places[kind]), tmp_path, progress=False)
    said = {**SAID, "folder": "no text files", "sparse file": "a zero byte"}
    assert answered.error.code.startswith("corpus-") and said[kind] in answered.error.message
    plan = plan_for("corpus.txt")
    (tmp_path / "corpus.txt").symlink_to(tmp_path / "real.txt")  # a person may name a link to a plain file
    (tmp_path / "real.txt").write_text("Now is the winter of our discontent. " * 50)
    assert prepare(plan, tmp_path, progress=False).train_text(3) == "Now"


@pytest.mark.parametrize("kind", KINDS)
def test_checking_a_config_that_names_it(places: dict[str, Path], kind: str) -> None:
    """As the language server does, for folders that nobody trusts."""
    began = time.monotonic()
    for key in ("corpus", "train_data", "tokenizer"):
        text = f"data_config:\n  {key}: {json.dumps(str(places[kind]))}\n"
        check(text, places[kind].parent)
        describe_corpus(str(places[kind]), places[kind].parent)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_lessons_files(plan_for: MakePlan, places: dict[str, Path], tmp_path: Path, kind: str) -> None:
    from dataclasses import replace

    path = tmp_path / "train.pt"
    path.symlink_to(places[kind])
    torch.save(torch.tensor([1, 2, 3] * 100), tmp_path / "val.pt")
    plan = plan_for()
    plan = replace(plan, data=replace(plan.data, train_data="train.pt", val_data="val.pt"))
    with _Answered() as answered:
        prepare(plan, tmp_path, progress=False)
    said = {**SAID, "endless link": "There is no file", "sparse file": "cannot be read as a torch file"}
    assert said[kind] in answered.error.message
    with _Answered() as answered:
        prepare(plan_for(tokenizer="train.pt"), tmp_path, progress=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer(places: dict[str, Path], tmp_path: Path, kind: str) -> None:
    (tmp_path / "tokenizer.json").symlink_to(places[kind])
    with _Answered() as answered:
        load_tokenizer(tmp_path)
    assert answered.error.code == "tokenizer-damaged" and SAID[kind] in answered.error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_of_tt_train_and_the_model_it_names(places: dict[str, Path], kind: str) -> None:
    text = f"training_config:\n  model_config: {json.dumps(str(places[kind]))}\n  project_name: x\n"
    with _Answered() as answered:
        convert(text, path=places[kind].parent / "config.yaml")
    assert answered.error.code == "model-config-missing"


@pytest.mark.parametrize(
    "text",
    [
        "training_config: " + "[" * 20_000,
        "training_config:\n  project_name: " + "x" * 50_000,
        "a: &a [x]\n"
        + "".join(f"b{n}: &b{n} [{', '.join(['*a' if n == 0 else f'*b{n - 1}'] * 9)}]\n" for n in range(9)),
        "transformer_config: 2024-99-99",
        "transformer_config: " + "9" * 5000,
    ],
    ids=["deep", "long", "laughs", "date", "digits"],
)
def test_a_text_that_is_made_to_be_too_much_for_tt_train(text: str) -> None:
    began = time.monotonic()
    text = f"# project_name\n{text}\n"
    is_tt_train(text)
    assert quick_fix(text) is None
    with refused("yaml-unreadable"):
        convert(text)
    assert time.monotonic() - began < 2


# --------------------------------------------------------------------------------------------------------- tokenizers


def _document(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(train_bpe(["to be or not to be"], 260).files()["tokenizer.json"])
    return {**document, **changes}


_BACKTRACKING = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    "document",
    [
        _document(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),  # the library panics
        _document(model={"type": "BPE", "vocab": {"a": 0, "b": 4_000_000_000}, "merges": []}),
        _document(pre_tokenizer={"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}),
        [],
        {"model": 3},
    ],
)
def test_a_tokenizer_that_makes_the_library_fail(tmp_path: Path, document: Any) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with _Answered() as answered:
        load_tokenizer(tmp_path)
    assert answered.error.code == "tokenizer-damaged"


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"model":' + "[" * 100_000], ids=["lists", "objects", "model"]
)
def test_a_tokenizer_that_is_nested_without_end(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    with _Answered() as answered:
        load_tokenizer(tmp_path)
    assert answered.error.code == "tokenizer-damaged"


def test_a_pattern_that_goes_back_and_forth_without_end(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(json.dumps(_document(pre_tokenizer=_BACKTRACKING)))
    with _Answered() as answered:
        load_tokenizer(tmp_path).encode("a" * 40 + "!")
    assert answered.error.code == "tokenizer-damaged" and "retry-limit" in answered.error.message


def test_a_tokenizer_neither_cuts_nor_fills_up(tmp_path: Path) -> None:
    """A tokenizer.json can ask for a million million ids to be added to each text, or for most of it to be dropped."""
    padding = {
        "strategy": {"Fixed": 10**9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "!",
    }
    truncation = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(_document(padding=padding, truncation=truncation)))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.decode(tokenizer.encode("not to be")) == "not to be"


# --------------------------------------------------------------------------------------------------- folders and files


def test_a_folder_of_very_many_files_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trickster_engine.config.checks import corpus as corpus_checks
    from trickster_engine.data import corpus

    monkeypatch.setattr(corpus, "MOST_FILES_DESCRIBED", 50)
    monkeypatch.setattr(corpus_checks, "MOST_FILES_LOOKED_AT", 50)
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "a.txt").write_text("text")
    for number in range(60):
        (folder / f"{number}.bin").touch()
    described = describe_corpus("many", tmp_path)
    assert (described.problem, described.bytes, described.path) == (None, 0, folder)
    assert check("data_config:\n  corpus: many\n", tmp_path).problems == []


def test_a_file_that_grows_while_it_is_read_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("x" * 100)
    file = CorpusFile(path, 100, 0, 0)
    with path.open("a") as growing, pytest.raises(TricksterError) as caught:
        for _ in read_text_chunks(file.path, 100, size=file.size):
            growing.write("x" * 100)
            growing.flush()
    assert caught.value.code == "corpus-changed"


# ------------------------------------------------------------------------------------------------------------- no home

_NOBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-i", f"PATH={os.environ['PATH']}"]


def _can_be_nobody() -> bool:
    try:
        return subprocess.run([*_NOBODY, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _can_be_nobody(), reason="no user namespaces here")
def test_nobody_at_home(tiny_config: Callable[..., Path]) -> None:
    """A user without HOME and without an entry in the passwd file, as in many containers."""
    config = tiny_config()
    cache = config.parent / "kept"

    def as_nobody(*words: str | Path) -> subprocess.CompletedProcess[str]:
        settings = [str(word) for word in words if "=" in str(word)]
        arguments = [str(word) for word in words if "=" not in str(word)]
        command = [*_NOBODY, "OMP_NUM_THREADS=1", *settings, sys.executable, "-m", "trickster_engine", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=config.parent)

    for command in ("prepare", "train"):
        refused = as_nobody(command, config)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr, refused.stderr
        assert "no-cache-folder" in refused.stderr and "TRICKSTER_CACHE_DIR" in refused.stderr
    assert not list((config.parent / "runs").glob("*")) and not (config.parent / "~").exists()
    estimate = as_nobody("estimate", config)
    assert estimate.returncode == 0 and "parameters" in estimate.stdout, estimate.stderr
    doctor = as_nobody("doctor")
    assert "[!!] There is no folder for prepared text" in doctor.stdout, doctor.stdout + doctor.stderr
    assert "Ready to train" not in doctor.stdout
    trained = as_nobody("train", config, f"TRICKSTER_CACHE_DIR={cache}")
    assert trained.returncode == 0, trained.stderr
    assert "Ready to train" in as_nobody("doctor", f"TRICKSTER_CACHE_DIR={cache}").stdout
