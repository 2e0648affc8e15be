"""Sums are read: whatever is damaged or edited in a cache is noticed, and nothing trained on it is kept."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.refusals import refused
from trickster_engine.config import check
from trickster_engine.config.plan import Plan
from trickster_engine.data import dataset as dataset_module
from trickster_engine.data import index as index_module
from trickster_engine.data.baselines import ngram_baselines
from trickster_engine.data.prepare import Dataset, prepare
from trickster_engine.data.sharded import prepare_shards as large_module
from trickster_engine.errors import TricksterError
from trickster_engine.runs import RunDirectory, read_events
from trickster_engine.system.json_checksum import seal
from trickster_engine.training import start

MakePlan = Callable[..., Plan]


def _content(dataset: Dataset) -> tuple[object, ...]:
    """Everything that a command takes from a dataset."""
    tokens = (dataset.train[:].tolist(), dataset.val[:].tolist())
    words = dataset.val_text(200)
    characters = (dataset.train_characters, dataset.val_characters)
    return (*tokens, dataset.fingerprint, *characters, dataset.description, dataset.tokenizer.encode(words).tolist())


@pytest.fixture
def beyond_the_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have any dataset count as too large to be read when it is opened."""
    monkeypatch.setattr(dataset_module, "_VERIFIED_BYTES", 0)


@pytest.fixture
def sharded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a few kilobytes count as a large text, in several shards."""
    monkeypatch.setattr(large_module, "LARGE_BYTES", 0)
    monkeypatch.setattr(large_module, "SHARD_BYTES", 16_000)


def _flip(path: Path, place: float, bit: int) -> None:
    data = bytearray(path.read_bytes())
    if not data:
        return
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("tokenizer", "layout", "times"),
    [("byte", "one file", 12), ("char", "one file", 12), ("bpe", "one file", 12), ("bpe", "shards", 1)],
)
def test_a_flipped_bit_anywhere_in_a_cache_is_noticed_or_harmless(
    plan_for: MakePlan,
    tmp_path: Path,
    prose: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    beyond_the_instant: None,
    request: pytest.FixtureRequest,
    tokenizer: str,
    layout: str,
    times: int,
) -> None:
    if layout == "shards":
        request.getfixturevalue("sharded")
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)  # the index is written and used at once
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for(tokenizer=tokenizer, vocab_size=300)
    whole = _content(prepare(plan, tmp_path, progress=False))
    baselines = ngram_baselines(prepare(plan, tmp_path, progress=False))
    shutil.copytree(cache, tmp_path / "whole")
    dice = random.Random(1337)
    files = sorted(path.relative_to(cache) for path in cache.rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".bin", ".json"} and len(files) >= 6
    for file in files:
        for _ in range(times):
            shutil.rmtree(cache)
            shutil.copytree(tmp_path / "whole", cache)
            _flip(cache / file, dice.random(), dice.randrange(8))
            found = prepare(plan, tmp_path, progress=False)
            assert _content(found) == whole, file
            assert ngram_baselines(found) == baselines, file


def test_an_edited_count_does_not_change_what_is_compared_with(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each edit once as it is, and once by somebody who takes the sum away or does not know of it."""
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for()
    first = prepare(plan, tmp_path, progress=False)
    baselines = ngram_baselines(first)
    for drop in ((), ("sum",), ("sum", "tokenizer")):
        path = first.directory / "dataset.json"
        description = json.loads(path.read_text())
        description["val"]["characters"] *= 3
        path.write_text(json.dumps({name: value for name, value in description.items() if name not in drop}))
        assert ngram_baselines(prepare(plan, tmp_path, progress=False)) == baselines
    (kept,) = first.directory.glob("baselines-*.json")
    for drop in ((), ("sum",)):
        known = json.loads(kept.read_text())
        known["unigram"] -= 2
        kept.write_text(json.dumps({name: value for name, value in known.items() if name not in drop}))
        assert ngram_baselines(prepare(plan, tmp_path, progress=False)) == baselines
    (tmp_path / "other.txt").write_bytes(prose[: len(prose) // 2].encode())
    other = prepare(plan_for("other.txt"), tmp_path, progress=False)
    shutil.copy(kept, other.directory / kept.name)  # baselines of another text, whole in themselves
    assert ngram_baselines(other) != baselines


def test_a_cache_of_before_the_sums_is_read_once_more_and_then_has_them(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch, beyond_the_instant: None
) -> None:
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for()
    first = prepare(plan, tmp_path, progress=False)
    path = first.directory / "dataset.json"
    old = {name: value for name, value in json.loads(path.read_text()).items() if name not in ("sum", "tokenizer")}
    path.write_text(json.dumps(old))
    made = (first.directory / "train.bin").stat().st_ino
    whole = _content(first)
    assert _content(prepare(plan, tmp_path, progress=False)) == whole
    assert (first.directory / "train.bin").stat().st_ino == made  # not prepared anew
    assert {"sum", "tokenizer"} <= json.loads(path.read_text()).keys()
    path.write_text(json.dumps(old))
    _flip(first.directory / "train.bin", 0.5, 3)
    assert _content(prepare(plan, tmp_path, progress=False)) == whole


def test_notes_of_a_killed_process_are_believed_only_as_they_were_written(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, sharded: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for(tokenizer="bpe", vocab_size=300)
    whole = _content(prepare(plan, tmp_path, cache_dir=tmp_path / "elsewhere", progress=False, processes=1))
    dice = random.Random(1)

    def stop_in_mid_encoding() -> None:
        if len(list((cache / "datasets").glob(".preparing-*/*.bin"))) >= 3:
            raise KeyboardInterrupt

    for number in range(8):
        with pytest.raises(KeyboardInterrupt):
            prepare(plan, tmp_path, progress=False, interrupt=stop_in_mid_encoding, processes=1)
        (folder,) = (path for path in (cache / "datasets").glob(".preparing-*") if path.is_dir())
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        assert {"scan.jsonl", "tokens.jsonl", "tokenizer.json"} <= {path.name for path in files}
        _flip(files[number % len(files)], dice.random(), dice.randrange(8))
        assert _content(prepare(plan, tmp_path, progress=False, processes=1)) == whole
        shutil.rmtree(cache)


# ---------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("layout", ["one file", "shards"])
def test_training_on_a_damaged_cache_stops_before_anything_is_saved(
    tiny_config: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    beyond_the_instant: None,
    request: pytest.FixtureRequest,
    layout: str,
) -> None:
    if layout == "shards":
        request.getfixturevalue("sharded")
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    config = tiny_config()

    def train(name: str) -> RunDirectory:
        text = config.read_text(encoding="utf-8")
        plan = check(text, config.parent).plan
        assert plan is not None
        path = tmp_path / "runs" / name
        start.start(config, text, plan, run_path=path, show_progress=False)
        return RunDirectory(path)

    first = train("first")
    identity = first.identity()
    assert identity is not None
    (folder,) = (
        path for path in Path(os.environ["TRICKSTER_CACHE_DIR"]).glob("datasets/*") if not path.name.startswith(".")
    )
    tokens = sorted(folder.glob("train*.bin"))[0]
    size = tokens.stat().st_size
    tokens.write_bytes(b"e" * (size // 2) + tokens.read_bytes()[size // 2 :])
    with pytest.raises(TricksterError) as caught:
        train("second")
    assert caught.value.code == "cache-damaged" and caught.value.exit_code == 4
    assert str(folder) in caught.value.message and not folder.exists()
    assert not list((tmp_path / "runs" / "second").rglob("*.safetensors"))
    events = read_events(tmp_path / "runs" / "second" / "events.jsonl")[0]
    assert [event["code"] for event in events if event["kind"] == "error"] == ["cache-damaged"]
    again = train("third")
    same = again.identity()
    assert same is not None and same.data == identity.data and same.baselines == identity.baselines


def test_the_check_runs_beside_the_steps_and_a_save_waits_for_it(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch, beyond_the_instant: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for()
    reading, go_on = threading.Event(), threading.Event()
    damage = dataset_module._damage

    def held_up(*arguments: Any) -> str | None:
        reading.set()
        go_on.wait()
        return damage(*arguments)

    monkeypatch.setattr(dataset_module, "_damage", held_up)
    dataset = prepare(plan, tmp_path, progress=False, verify=False)
    _flip(dataset.directory / "val.bin", 0.99, 0)
    dataset.verification.require(wait=True)  # nobody has asked for a check
    dataset.verification.begin()
    reading.wait()
    dataset.verification.require()  # not known yet: the steps go on
    threading.Timer(0.05, go_on.set).start()
    with refused("cache-damaged", "the checksum of its tokens differs"):
        dataset.verification.require(wait=True)
    assert not dataset.directory.exists()


def test_a_dataset_that_claims_what_cannot_be_is_none(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for()
    first = prepare(plan, tmp_path, progress=False)
    whole = _content(first)
    path = first.directory / "dataset.json"
    known = json.loads(path.read_text())
    del known["sum"]
    file = {"name": "../../../secret.bin", "tokens": 5, "characters": 5, "sha256": "0" * 64}
    edits: list[dict[str, object]] = [
        {"dtype": "O"},
        {"dtype": "uint16"},
        {"format": 2},
        {"fingerprint": "x"},
        {"train": {**known["train"], "tokens": -1}},
        {"train": {**known["train"], "tokens": True}},
        {"train": {**known["train"], "characters": known["train"]["characters"] + 1}},
        {"train": {"tokens": 5, "characters": 5, "files": [file]}},
        {"val": None},
        {"train": {**known["train"], "files": {"a": 1}}},
    ]
    for edit in edits:  # by somebody who knows how the sum is made
        path.write_text(json.dumps(seal({**known, **edit})))
        found = prepare(plan, tmp_path, progress=False)
        assert _content(found) == whole, edit
    path.unlink()
    path.mkdir()
    assert _content(prepare(plan, tmp_path, progress=False)) == whole


def test_a_link_in_the_cache_is_not_followed(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for()
    first = prepare(plan, tmp_path, progress=False)
    whole = _content(first)
    elsewhere = tmp_path / "elsewhere"
    for name in ("train.bin", "val.bin", "dataset.json", "tokenizer.json"):
        (first.directory / name).rename(elsewhere)
        (first.directory / name).symlink_to(elsewhere)
        before = elsewhere.read_bytes()
        assert _content(prepare(plan, tmp_path, progress=False)) == whole
        assert not (first.directory / name).is_symlink() and elsewhere.read_bytes() == before
        elsewhere.unlink()
    first.directory.rename(elsewhere)
    first.directory.symlink_to(elsewhere)
    assert _content(prepare(plan, tmp_path, progress=False)) == whole
    assert not first.directory.is_symlink() and (elsewhere / "dataset.json").exists()
