"""Large texts: the same tokens as in one go, whoever is killed in the meantime, and nothing done twice."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.refusals import refused
from trickster_engine.config.plan import Plan
from trickster_engine.config.split import validation_size
from trickster_engine.data import index as index_module
from trickster_engine.data import prepare_text as prepare_module
from trickster_engine.data.batches import TrainingBatches, even_portions
from trickster_engine.data.corpus import text_files
from trickster_engine.data.dataset import MEASURED_TOKENS
from trickster_engine.data.make_tokenizer import train_bpe
from trickster_engine.data.prepare import Dataset, prepare
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.sharded.layout import cut_into_shards, read_portion, read_shard_bytes, read_shard_text
from trickster_engine.data.sharded.shards import ShardedTokens
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError

MakePlan = Callable[..., Plan]
SMALL = 10_000


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is large becomes small enough for a test; the worker processes are real."""
    monkeypatch.setattr(prepare_shards, "LARGE_BYTES", SMALL)
    monkeypatch.setattr(prepare_shards, "SHARD_BYTES", SMALL)


def _prepare(plan: Plan, folder: Path, processes: int = 2) -> Dataset:
    return prepare(plan, folder, progress=False, processes=processes)


def _text(dataset: Dataset) -> str:
    return dataset.train_text() + dataset.val_text()


def _in_one_go(plan: Plan, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    with monkeypatch.context() as patch:
        patch.setattr(prepare_shards, "LARGE_BYTES", 1 << 40)
        return prepare(plan, folder, cache_dir=cache, progress=False)


# ------------------------------------------------------------------------------------------------------------- shards


def _folder(path: Path, prose: str) -> Path:
    """Files of many sizes, with byte-order marks, empty ones, and some that end inside white space."""
    path.mkdir()
    parts = [prose[:50], "", prose[50:20_000] + "\n\n", "\n", prose[20_000:20_010], prose[20_010:] + " ", "end"]
    for number, part in enumerate(parts):
        (path / f"{number}.txt").write_bytes((b"\xef\xbb\xbf" if number % 2 else b"") + part.encode())
    return path


@pytest.mark.parametrize("size", [1, 7, 1000, 9999, 1 << 30])
def test_shards_joined_are_the_text(tmp_path: Path, prose: str, size: int) -> None:
    prose = prose[:30_000] if size < 1000 else prose
    for corpus in (_folder(tmp_path / "folder", prose), tmp_path / "file.txt"):
        if corpus.suffix:
            corpus.write_bytes(prose.encode())
        found = text_files(str(corpus), tmp_path)
        shards = cut_into_shards(found, size)
        assert "".join(text for shard in shards for text in read_shard_text(shard)) == "".join(found.text_chunks())
        for shard in shards:
            assert b"".join(read_shard_bytes(shard, 100)) == "".join(read_shard_text(shard, 100)).encode()
        texts = ["".join(read_shard_text(shard)) for shard in shards]
        for before, after in itertools.pairwise(texts):
            assert after[0] in " \n" and not before[-1].isspace()
        assert len(shards) > 1 or size > 9999


def test_a_cut_is_never_behind_white_space_of_any_kind(tmp_path: Path) -> None:
    blanks = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
    text = "".join(f"{blank} x" for blank in blanks) * 3 + "東京 end"
    (tmp_path / "a.txt").write_bytes(text.encode())
    corpus = text_files("a.txt", tmp_path)
    cuts = [shard[0].begin for shard in cut_into_shards(corpus, 1)][1:]
    data = text.encode()
    assert cuts and all(data[cut : cut + 1] in (b" ", b"\n") for cut in cuts)
    assert all(not data[:cut].decode()[-1].isspace() for cut in cuts)
    assert data.rindex(b" ") in cuts


def test_text_without_any_blank_is_one_shard(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 300_000)
    assert len(cut_into_shards(text_files("a.txt", tmp_path), 1000)) == 1


def test_a_portion_is_a_piece_of_the_text(tmp_path: Path, prose: str) -> None:
    corpus = text_files(str(_folder(tmp_path / "folder", prose)), tmp_path)
    whole = "".join(corpus.text_chunks())
    (shard,) = cut_into_shards(corpus, 1 << 30)
    for offset in range(0, len(whole), 997):
        piece = read_portion(shard, offset, 3000)
        assert piece in whole or "\n" in piece  # files are joined by a newline alone where their marks are left out
    assert len(read_portion(shard, 30_000, 3000)) > 2000


# ------------------------------------------------------------------------------------------------------------ content


@pytest.mark.parametrize(
    ("tokenizer", "vocab_size", "kind"),
    [("byte", 256, "file"), ("byte", 256, "folder"), ("char", 300, "files"), ("bpe", 500, "folder")],
)
def test_the_tokens_are_those_of_one_go(
    plan_for: MakePlan,
    tmp_path: Path,
    prose: str,
    monkeypatch: pytest.MonkeyPatch,
    small_shards: None,
    tokenizer: str,
    vocab_size: int,
    kind: str,
) -> None:
    plan = plan_for(_folder(tmp_path / "folder", prose), tokenizer=tokenizer, vocab_size=vocab_size)
    if kind != "folder":
        (tmp_path / "corpus.txt").write_bytes(prose.encode())
        plan = plan_for(tokenizer=tokenizer, vocab_size=vocab_size)
    if kind == "files":
        (tmp_path / "val.txt").write_bytes(prose[::-1].encode())
        plan = replace(plan, data=replace(plan.data, train_data="corpus.txt", val_data="val.txt"))
    sharded = _prepare(plan, tmp_path)
    whole = _in_one_go(plan, tmp_path, tmp_path / "other", monkeypatch)
    assert isinstance(sharded.train, ShardedTokens) and not isinstance(whole.train, ShardedTokens)
    assert sharded.train[:].tolist() == whole.train[:].tolist()
    assert sharded.val[:].tolist() == whole.val[:].tolist()
    assert (sharded.train_characters, sharded.val_characters) == (whole.train_characters, whole.val_characters)
    assert sharded.tokenizer.files() == whole.tokenizer.files()
    assert sharded.description == whole.description
    assert sharded.train[:].dtype == whole.train[:].dtype
    assert sharded.train_text(100) == whole.train_text(100)
    assert {path.suffix for path in sharded.directory.iterdir()} == {".bin", ".json"}
    x, y = TrainingBatches(sharded.train, 16, 8, 3).batch(5)
    assert (x == TrainingBatches(whole.train, 16, 8, 3).batch(5)[0]).all() and x.shape == y.shape


def test_the_split_is_exact_wherever_it_falls(
    plan_for: MakePlan, tmp_path: Path, prose: str, small_shards: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    shard = cut_into_shards(text_files("corpus.txt", tmp_path), SMALL)[0]
    first = len("".join(read_shard_text(shard)))
    for fraction in (0.01, 0.999, 1 - first / len(prose)):  # in the last shard, in the first, between two
        dataset = _prepare(plan_for(val_fraction=fraction), tmp_path)
        boundary = len(prose) - validation_size(len(prose), fraction)
        assert (dataset.train_text(), dataset.val_text()) == (prose[:boundary], prose[boundary:])


def test_no_module_beside_the_config_is_run(
    plan_for: MakePlan, tmp_path: Path, prose: str, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    for name in ("hashlib", "queue", "random", "tokenizers"):
        (tmp_path / f"{name}.py").write_text("open('was-run', 'w').close()\nraise SystemExit(5)\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert _text(_prepare(plan_for(), tmp_path)) == prose
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("limit", [5_000, 20_000, 1_000_000])
def test_bpe_learns_from_a_bounded_sample_spread_over_the_training_text(
    plan_for: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None, limit: int
) -> None:
    text = "".join(f"line{number:05d} " for number in range(10_000))
    (tmp_path / "corpus.txt").write_text(text)
    monkeypatch.setattr(prepare_module, "BPE_TRAINING_CHARACTERS", limit)
    monkeypatch.setattr(prepare_module, "_BPE_PIECE", 1000)
    seen: list[list[str]] = []

    def train(pieces: Iterable[str], vocab_size: int, **_: object) -> Tokenizer:
        seen.append(list(pieces))
        return train_bpe(seen[-1], vocab_size)

    monkeypatch.setattr(prepare_module, "train_bpe", train)
    plan = plan_for(tokenizer="bpe", vocab_size=300)
    first = _prepare(plan, tmp_path)
    prepare(plan, tmp_path, cache_dir=tmp_path / "again", progress=False, processes=1)
    assert seen[0] == seen[1]  # the same text, the same sample
    words = "".join(seen[0]).split()
    trained = len(text) - validation_size(len(text), 0.1)
    assert set(words[:-1]) <= set(text.split())  # whole words, but where the training text ends
    assert min(limit, trained) * 0.6 < len("".join(seen[0])) <= limit
    places = [text.index(word) for word in words]
    assert places == sorted(places)
    assert places[0] < 2000
    assert trained - SMALL - 2000 < places[-1] < trained  # the shard that the split falls into may be left out
    assert first.tokenizer.vocab_size > 256


@pytest.mark.parametrize(("vocab_size", "dtype"), [(256, "u1"), (65_536, "u2"), (65_537, "u4")])
def test_large_vocabularies_fit_their_type(
    plan_for: MakePlan, tmp_path: Path, small_shards: None, vocab_size: int, dtype: str
) -> None:
    """Every one of the ids, the largest included, comes back as it was."""
    text = "".join(map(chr, [*range(33, 0xD800), *range(0xE000, 0xE000 + vocab_size)]))[:vocab_size]
    text = text + " " + text
    (tmp_path / "corpus.txt").write_bytes(text.encode())
    characters = len(set(text))
    dataset = _prepare(plan_for(tokenizer="char", vocab_size=characters, val_fraction=0.1), tmp_path)
    wanted = {"u1": "u2"}.get(dtype, dtype) if characters > vocab_size else dtype
    assert dataset.train[:].dtype == np.dtype(wanted if characters <= 65_536 or dtype == "u4" else "u4")
    assert _text(dataset) == text


def test_vocabularies_of_65536_are_learned_and_stored_in_two_bytes(
    plan_for: MakePlan, tmp_path: Path, small_shards: None
) -> None:
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, 9)) for _ in range(12_000)]
    (tmp_path / "corpus.txt").write_text(" ".join(words * 2))
    dataset = _prepare(plan_for(tokenizer="bpe", vocab_size=65_536, val_fraction=0.01), tmp_path)
    assert 40_000 < dataset.tokenizer.vocab_size <= 65_536
    assert dataset.train[:].dtype == np.uint16
    assert _text(dataset) == " ".join(words * 2)


def test_there_are_never_more_shards_than_files_may_be_open(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_shards, "LARGE_BYTES", SMALL)
    monkeypatch.setattr(prepare_shards, "SHARD_BYTES", 1000)
    monkeypatch.setattr(prepare_shards, "MOST_SHARDS", 5)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    dataset = _prepare(plan_for(), tmp_path)
    assert len(list(dataset.directory.glob("*.bin"))) <= 6  # one of them is parted between training and held out
    assert _text(dataset) == prose


def test_errors_name_the_place_in_the_file(
    plan_for: MakePlan, tmp_path: Path, cache: Path, prose: str, small_shards: None
) -> None:
    data = bytearray(prose[:40_000].encode().replace(b"\r", b""))
    for broken, code in ((b"\xff", "corpus-not-utf8"), (b"\0", "corpus-binary")):
        at = data.index(b" ", 25_000)
        (tmp_path / "corpus.txt").write_bytes(data[:at] + broken + data[at:])
        with pytest.raises(TricksterError) as caught:
            _prepare(plan_for(), tmp_path)
        assert caught.value.code == code and f"{at:,}" in caught.value.message
    assert not list((cache / "datasets").glob(".preparing-*"))


def test_a_vocabulary_that_is_too_small(plan_for: MakePlan, tmp_path: Path, prose: str, small_shards: None) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    with pytest.raises(TricksterError) as caught:
        _prepare(plan_for(tokenizer="char", vocab_size=20), tmp_path)
    assert caught.value.code == "vocabulary-too-small"


# ------------------------------------------------------------------------------------------------- found again, resumed


def test_the_second_call_does_nothing(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    os.utime(tmp_path / "corpus.txt", (1_600_000_000, 1_600_000_000))
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    first = _prepare(plan_for(), tmp_path)
    monkeypatch.setattr(prepare_shards.LargeText, "scan", lambda *_: pytest.fail("read again"))
    assert _prepare(plan_for(), tmp_path).fingerprint == first.fingerprint
    assert not list((cache / "datasets").glob(".*"))


def test_the_fingerprint_is_that_of_the_tokens(
    plan_for: MakePlan, tmp_path: Path, prose: str, small_shards: None
) -> None:
    texts = {"corpus.txt": prose, "copy.txt": prose, "other.txt": prose.replace("wind", "wynd", 1)}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text.encode())
    prints = [_prepare(plan_for(name), tmp_path).fingerprint for name in texts]
    assert prints[0] == prints[1] != prints[2]
    assert _prepare(plan_for(tokenizer="char"), tmp_path).fingerprint not in prints


CHILD = """
import pathlib, sys
from trickster_engine.config.plan import DataConfig, ModelConfig, Plan
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.make_tokenizer import train_bpe
from trickster_engine.data.prepare import prepare
prepare_shards.LARGE_BYTES = prepare_shards.SHARD_BYTES = int(sys.argv[3])
plan = Plan(
    model=ModelConfig(vocab_size=400, max_seq_len=16), data=DataConfig(corpus="corpus.txt", tokenizer=sys.argv[2])
)
dataset = prepare(plan, pathlib.Path(sys.argv[1]), progress=False, processes=2)
print(dataset.fingerprint)
"""


def _child(folder: Path, tokenizer: str, shard_bytes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder), tokenizer, str(shard_bytes)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("tokenizer", ["byte", "bpe"])
def test_killed_in_the_middle_the_rest_is_done(
    plan_for: MakePlan,
    tmp_path: Path,
    prose: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokenizer: str,
) -> None:
    if sys.platform == "win32":
        pytest.skip("SIGKILL")
    shard_bytes = 200_000
    (tmp_path / "corpus.txt").write_bytes((prose * 100).encode())  # 6.7 MB: 33 shards
    child = _child(tmp_path, tokenizer, shard_bytes)
    journal: list[Path] = []
    while child.poll() is None:
        journal = list((cache / "datasets").glob(".preparing-*/tokens.jsonl"))
        if journal and journal[0].read_text().count("\n") >= 3:
            break
        time.sleep(0.002)
    child.kill()
    output, problems = child.communicate()
    assert child.returncode == -signal.SIGKILL, (output, problems)
    assert not list((cache / "datasets").glob("[!.]*"))
    noted = [json.loads(line)["file"] for line in journal[0].read_text().splitlines() if line.endswith("}")]
    assert noted
    # Of what was finished, one file is damaged and one is gone: both are noticed.
    folder = journal[0].parent
    damaged = folder / noted[0]["name"]
    content = bytearray(damaged.read_bytes())
    content[5] ^= 1
    damaged.write_bytes(content)
    if len(noted) > 1:
        (folder / noted[1]["name"]).unlink()
    with journal[0].open("a") as stream:
        stream.write('\n{"tokenizer": "cut sh')

    done: list[tuple[str, int]] = []
    work = prepare_shards.LargeText._work

    def watched(
        self: prepare_shards.LargeText, doing: str, jobs: list[tuple[int, dict[str, Any]]], sized: bool = True
    ) -> Iterator[tuple[int, Any]]:
        done.append((doing, len(jobs)))
        return work(self, doing, jobs, sized)

    monkeypatch.setattr(prepare_shards.LargeText, "_work", watched)
    monkeypatch.setattr(prepare_shards, "LARGE_BYTES", shard_bytes)
    monkeypatch.setattr(prepare_shards, "SHARD_BYTES", shard_bytes)
    plan = plan_for(tokenizer=tokenizer, vocab_size=400)
    dataset = _prepare(plan, tmp_path)
    assert _text(dataset) == prose * 100
    counts = dict(done)
    assert counts["Reading"] == 0  # not scanned again
    assert counts["Checking"] == len(noted)
    total = len(list(dataset.directory.glob("*.bin")))
    assert counts["Encoding"] == total - max(0, len(noted) - 2)
    assert dataset.fingerprint == prepare(plan, tmp_path, cache_dir=tmp_path / "other", progress=False).fingerprint
    assert {path.suffix for path in dataset.directory.iterdir()} == {".bin", ".json"}


def test_called_off_what_is_done_is_kept(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, small_shards: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())

    def stop_while_encoding() -> None:
        if list((cache / "datasets").glob(".preparing-*/tokens.jsonl")):
            raise TricksterError("stopped-while-preparing", "Stopped.", "", 3)

    with refused("stopped-while-preparing"):
        prepare(plan_for(), tmp_path, progress=False, interrupt=stop_while_encoding, processes=1)
    (folder,) = (path for path in (cache / "datasets").iterdir() if path.is_dir())
    assert len(list(folder.glob("*.bin"))) >= 1
    assert _text(_prepare(plan_for(), tmp_path)) == prose


def test_several_processes_share_the_work_of_one(tmp_path: Path, prose: str, cache: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes((prose * 10).encode())
    os.utime(tmp_path / "corpus.txt", (1_600_000_000, 1_600_000_000))
    children = [_child(tmp_path, "char", 100_000) for _ in range(3)]
    outputs = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0] * 3, outputs
    assert len({output for output, _ in outputs}) == 1
    assert len(list((cache / "datasets").iterdir())) == 1


def test_a_worker_that_dies_is_an_error_and_not_a_wait(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    from trickster_engine.data.sharded import worker_pool

    start = worker_pool.Workers._start

    def start_and_kill(self: worker_pool.Workers) -> None:
        start(self)
        self._processes[-1].kill()

    with monkeypatch.context() as patch, pytest.raises(TricksterError) as caught:
        patch.setattr(worker_pool.Workers, "_start", start_and_kill)
        _prepare(plan_for(), tmp_path)
    assert caught.value.code == "preparing-failed"
    assert _text(_prepare(plan_for(), tmp_path)) == prose


def test_work_given_up_long_ago_is_swept(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, small_shards: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    for name, when in ((".preparing-old", 1_600_000_000), (".preparing-new", time.time())):
        folder = cache / "datasets" / name
        folder.mkdir(parents=True)
        (folder / "train-00000.bin").write_bytes(b"x")
        for path in (folder / "train-00000.bin", folder):
            os.utime(path, (when, when))
    _prepare(plan_for(), tmp_path)
    assert [path.name for path in (cache / "datasets").glob(".preparing-*")] == [".preparing-new"]


def test_who_follows_is_told_how_far_it_is(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    monkeypatch.setattr(prepare_shards, "_REPORTED_S", 0)
    told: list[str] = []
    prepare(plan_for(), tmp_path, progress=False, report=told.append, processes=1)
    assert told[0].startswith("Reading corpus.txt: ") and told[-1] == "Encoding corpus.txt: 100%"


# ------------------------------------------------------------------------------------------------------------- reading


def test_sharded_tokens_read_like_an_array(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trickster_engine.data.sharded import shards

    monkeypatch.setattr(shards, "_KEPT_BYTES", 1000)  # pages are given back all the time
    whole = np.arange(10_000, dtype=np.uint16)
    ends = [0, 1, 17, 4096, 9999, 10_000]
    paths = []
    for begin, end in itertools.pairwise(ends):
        paths.append(tmp_path / f"{begin}.bin")
        whole[begin:end].tofile(paths[-1])
    tokens = ShardedTokens(paths, whole.dtype)
    assert len(tokens) == 10_000 and tokens.nbytes == 20_000
    rng = np.random.default_rng(0)
    for begin, end in [(0, 0), (0, 10_000), (9_999, 20_000), (-5, 10_000), *rng.integers(0, 10_001, (300, 2)).tolist()]:
        assert tokens[begin:end].tolist() == whole[begin:end].tolist()
    with pytest.raises(ValueError, match="whole ranges"):
        tokens[::2]
    assert even_portions(tokens, 20_000).tolist() == whole.tolist()


def test_a_long_held_out_text_is_measured_in_even_portions() -> None:
    tokens = np.arange(5 * MEASURED_TOKENS, dtype=np.int32)
    part = even_portions(tokens, MEASURED_TOKENS)
    assert len(part) == MEASURED_TOKENS
    assert part[0] == 0 and part[-1] == tokens[-1]
    assert (np.diff(part) > 0).all()
    assert np.histogram(part, 5, (0, len(tokens)))[0].min() > MEASURED_TOKENS / 5 * 0.8
