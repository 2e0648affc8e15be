"""Preparing: exact splits, found again at once, whole whatever happens to the process, the disk or the files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickster_engine.config.plan import Plan
from trickster_engine.config.split import validation_size
from trickster_engine.data import index as index_module
from trickster_engine.data import prepare_text as prepare_module
from trickster_engine.data.corpus import Corpus
from trickster_engine.data.dataset import storage_type
from trickster_engine.data.make_tokenizer import byte_tokenizer, train_bpe
from trickster_engine.data.prepare import Dataset, prepare
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError

MakePlan = Callable[..., Plan]
LONG_AGO = (1_600_000_000, 1_600_000_000)

# A process of its own that prepares argv[1] in folder argv[2], by argv[3:5]: tokenizer, vocabulary size.
CHILD = """
import dataclasses, mmap, sys, pathlib, resource  # all imports before any change of user
from trickster_engine.config.plan import DataConfig, ModelConfig, Plan
from trickster_engine.data.prepare import prepare
from trickster_engine.errors import TricksterError
from trickster_engine.system.processes import peak_memory
plan = Plan(model=ModelConfig(vocab_size=int(sys.argv[4]), max_seq_len=16),
            data=DataConfig(corpus=sys.argv[1], tokenizer=sys.argv[3]))
def with_data(**changes):
    return dataclasses.replace(plan, data=dataclasses.replace(plan.data, **changes))
def run():
    try:
        dataset = prepare(plan, pathlib.Path(sys.argv[2]), progress=False)
        print(dataset.fingerprint, len(dataset.train), len(dataset.val))
    except TricksterError as error:
        print(error.code, error.message)
        sys.exit(3)
"""


def _child(script: str, folder: Path, tokenizer: str = "byte", vocab_size: int = 256) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD + script, "corpus.txt", str(folder), tokenizer, str(vocab_size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _prepare(plan: Plan, folder: Path) -> Dataset:
    return prepare(plan, folder, progress=False)


def _error(plan: Plan, folder: Path) -> TricksterError:
    with pytest.raises(TricksterError) as caught:
        _prepare(plan, folder)
    return caught.value


def _leftovers(cache: Path) -> list[Path]:
    """Everything in the cache that is not a finished dataset or an index entry."""
    finished = [path for path in (cache / "datasets").glob("*") if not path.name.startswith(".")]
    return [
        path
        for path in cache.rglob("*")
        if path.name.startswith(".") or (path.parent.name == "datasets" and path not in finished)
    ]


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, reading any corpus fails the test."""

    def forbid() -> None:
        def read(self: Corpus, chunk_bytes: int = 0) -> Iterator[str]:
            raise AssertionError(f"{self.path} was read again")

        monkeypatch.setattr(Corpus, "text_chunks", read)

    return forbid


# ------------------------------------------------------------------------------------------------------------ content


@pytest.mark.parametrize(("tokenizer", "vocab_size"), [("byte", 256), ("char", 300), ("bpe", 500)])
def test_the_tokens_are_the_text(
    plan_for: MakePlan, tmp_path: Path, prose: str, tokenizer: str, vocab_size: int
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    dataset = _prepare(plan_for(tokenizer=tokenizer, vocab_size=vocab_size), tmp_path)
    boundary = len(prose) - validation_size(len(prose), 0.1)
    assert dataset.train_text() == prose[:boundary]
    assert dataset.val_text() == prose[boundary:]
    assert dataset.train_text(100) == prose[:100]
    assert "".join(dataset.text_chunks(dataset.train)) == prose[:boundary]
    assert (dataset.train_characters, dataset.val_characters) == (boundary, len(prose) - boundary)
    assert isinstance(dataset.train, np.ndarray) and isinstance(dataset.val, np.ndarray)
    assert dataset.train.tolist() == dataset.tokenizer.encode(prose[:boundary]).tolist()
    assert dataset.val.tolist() == dataset.tokenizer.encode(prose[boundary:]).tolist()
    assert dataset.train.dtype == (np.uint8 if dataset.tokenizer.vocab_size <= 256 else np.uint16)
    assert not dataset.train.flags.writeable
    assert dataset.characters_per_token == dataset.val_characters / len(dataset.val)
    predicted = dataset.tokenizer.decode(dataset.val[1:]).encode()
    assert dataset.bytes_per_token == len(predicted) / (len(dataset.val) - 1)
    assert tokenizer in dataset.description and "corpus.txt" in dataset.description


def test_tiny_shakespeare_splits_as_everywhere(plan_for: MakePlan, tmp_path: Path, shakespeare: str) -> None:
    for tokenizer in ("byte", "char"):
        dataset = _prepare(plan_for("shakespeare", tokenizer), tmp_path)
        assert (dataset.train_characters, dataset.val_characters) == (1_003_854, 111_540)
        assert (len(dataset.train), len(dataset.val)) == (1_003_854, 111_540)
        assert dataset.train[:].dtype == np.uint8
        assert dataset.train_text() + dataset.val_text() == shakespeare
    assert dataset.tokenizer.vocab_size == 65


def test_bpe_learns_from_the_training_part_alone(plan_for: MakePlan, tmp_path: Path, prose: str) -> None:
    trained_on = prose[: len(prose) - validation_size(len(prose), 0.1)]
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    (tmp_path / "other.txt").write_bytes((trained_on + "zqzqzqzq " * 900)[: len(prose)].encode())
    plan = plan_for(tokenizer="bpe", vocab_size=500)
    first = _prepare(plan, tmp_path).tokenizer
    second = _prepare(replace(plan, data=replace(plan.data, corpus="other.txt")), tmp_path).tokenizer
    assert first.files() == second.files()


def test_a_large_training_text_is_sampled_evenly(
    plan_for: MakePlan, tmp_path: Path, prose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "BPE_TRAINING_CHARACTERS", 10_000)
    monkeypatch.setattr(prepare_module, "_BPE_PIECE", 1000)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    seen: list[str] = []

    def train(pieces: Iterable[str], vocab_size: int, **_: object) -> Tokenizer:
        seen.extend(pieces)
        return train_bpe(seen, vocab_size)

    monkeypatch.setattr(prepare_module, "train_bpe", train)
    dataset = _prepare(plan_for(tokenizer="bpe", vocab_size=500), tmp_path)
    assert 8000 < sum(len(piece) for piece in seen) <= 10_000
    assert all(piece in prose for piece in seen)
    assert dataset.tokenizer.vocab_size > 256
    assert dataset.train_text() + dataset.val_text() == prose
    pieces = [str(number) for number in range(100)]
    kept = list(prepare_module._portion(pieces, 0.25))
    assert kept == ["3", "7", *kept[2:]] and len(kept) == 25


@given(characters=st.integers(0, 10**10), fraction=st.floats(0.0001, 0.9999).map(lambda value: round(value, 4)))
def test_the_held_out_part_is_the_fraction_rounded_up(characters: int, fraction: float) -> None:
    exact = characters * Fraction(str(fraction))
    assert exact <= validation_size(characters, fraction) < exact + 1


def test_fractions_mean_what_is_written() -> None:
    assert validation_size(1_115_394, 0.1) == 111_540
    assert validation_size(10, 0.9) == 9  # as binary fractions, 1 - 0.9 of 10 is less than 1
    assert validation_size(10, 0.3) == 3
    assert validation_size(100, 1e-05) == 1


@pytest.mark.parametrize(("size", "dtype"), [(65, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")])
def test_the_smallest_type_is_used(size: int, dtype: str) -> None:
    assert storage_type(size) == np.dtype(dtype)


def test_text_files_of_ones_own_split(plan_for: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("training text with a z, " * 10)
    (tmp_path / "val.txt").write_text("held out, é")
    for tokenizer in ("byte", "char"):
        dataset = _prepare(plan_for(tokenizer=tokenizer, train_data="train.txt", val_data="val.txt"), tmp_path)
        assert dataset.train_text() == "training text with a z, " * 10
        assert dataset.val_text() == "held out, é"
        assert dataset.name == "train.txt and val.txt"


def test_half_of_a_split_is_an_error(plan_for: MakePlan, tmp_path: Path) -> None:
    assert _error(plan_for(train_data="train.txt"), tmp_path).code == "data-files-incomplete"
    assert "val_data" in _error(plan_for(train_data="train.txt"), tmp_path).message
    assert _error(plan_for(train_data="train.pt", val_data="val.txt"), tmp_path).code == "data-files-mixed"


# ------------------------------------------------------------------------------------------------------- found again


def test_the_second_call_reads_nothing(
    plan_for: MakePlan, tmp_path: Path, prose: str, no_reading: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    first = _prepare(plan_for(tokenizer="char"), tmp_path)
    no_reading()
    second = _prepare(plan_for(tokenizer="char"), tmp_path)
    assert second.fingerprint == first.fingerprint
    assert second.directory == first.directory
    with pytest.raises(AssertionError, match="read again"):
        _prepare(plan_for(tokenizer="byte"), tmp_path)


def test_a_file_changed_a_moment_ago_is_read_again(
    plan_for: MakePlan, tmp_path: Path, no_reading: Callable[[], None]
) -> None:
    (tmp_path / "corpus.txt").write_text("first version of the text " * 9)
    first = _prepare(plan_for(), tmp_path)
    status = (tmp_path / "corpus.txt").stat()
    (tmp_path / "corpus.txt").write_text("other version of the text " * 9)  # of the same size
    os.utime(tmp_path / "corpus.txt", ns=(status.st_atime_ns, status.st_mtime_ns))  # and the same time
    second = _prepare(plan_for(), tmp_path)
    assert second.train_text().startswith("other version")
    assert first.fingerprint != second.fingerprint


def test_times_are_trusted_only_once_they_are_old(
    plan_for: MakePlan, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes within one tick of the file system's clock look like one."""
    (tmp_path / "corpus.txt").write_text("text " * 100)
    _prepare(plan_for(), tmp_path)
    assert not (cache / "index").exists()
    later = time.time_ns() + 10_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    _prepare(plan_for(), tmp_path)
    assert len(list((cache / "index").iterdir())) == 1


def test_equal_content_is_prepared_once_wherever_it_lies(plan_for: MakePlan, tmp_path: Path, cache: Path) -> None:
    for name in ("corpus.txt", "copy.txt"):
        (tmp_path / name).write_text("the same text in two places " * 9)
    first, second = _prepare(plan_for("corpus.txt"), tmp_path), _prepare(plan_for("copy.txt"), tmp_path)
    assert first.directory == second.directory
    assert (first.name, second.name) == ("corpus.txt", "copy.txt")
    assert len(list((cache / "datasets").iterdir())) == 1


def test_the_fingerprint_tells_tokens_apart_and_nothing_else(plan_for: MakePlan, tmp_path: Path) -> None:
    text = "some text to tell apart " * 50
    (tmp_path / "corpus.txt").write_text(text)
    (tmp_path / "elsewhere.md").write_text(text)
    (tmp_path / "changed.txt").write_text(text.replace("apart", "apert", 1))
    base = plan_for()
    seen = {
        "base": _prepare(base, tmp_path),
        "changed": _prepare(plan_for("changed.txt"), tmp_path),
        "char": _prepare(plan_for(tokenizer="char"), tmp_path),
        "bpe": _prepare(plan_for(tokenizer="bpe", vocab_size=300), tmp_path),
        "split": _prepare(plan_for(val_fraction=0.2), tmp_path),
    }
    assert len({dataset.fingerprint for dataset in seen.values()}) == len(seen)
    assert all(len(dataset.fingerprint) == 64 for dataset in seen.values())
    assert _prepare(plan_for("elsewhere.md"), tmp_path).fingerprint == seen["base"].fingerprint
    longer = replace(base, model=replace(base.model, max_seq_len=64, hidden_dim=8))
    assert _prepare(longer, tmp_path).fingerprint == seen["base"].fingerprint
    shutil.rmtree(seen["base"].directory)
    assert _prepare(base, tmp_path).fingerprint == seen["base"].fingerprint


@pytest.mark.parametrize("damage", ["cut", "gone", "other", "one byte"])
@pytest.mark.parametrize("name", ["train.bin", "val.bin", "dataset.json", "tokenizer.json"])
def test_a_damaged_dataset_is_made_anew(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, name: str, damage: str
) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    path = _prepare(plan_for(), tmp_path).directory / name
    if damage == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "gone":
        path.unlink()
    elif damage == "one byte":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_text("[]")
    dataset = _prepare(plan_for(), tmp_path)
    assert dataset.train_text() + dataset.val_text() == prose
    assert _leftovers(cache) == []


def test_a_damaged_index_costs_only_time(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    first = _prepare(plan_for(), tmp_path)
    (index,) = (cache / "index").iterdir()
    for content in (b"", b"{}", b"[]", b'{"dataset": 3}', b'{"dataset": "nowhere"}', b"\xff"):
        index.write_bytes(content)
        assert _prepare(plan_for(), tmp_path).fingerprint == first.fingerprint
    assert json.loads(index.read_text())["dataset"] == first.directory.name  # mended


@pytest.mark.parametrize("tokenizer", ["byte", "bpe"])
def test_preparing_can_be_called_off(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, tokenizer: str
) -> None:
    (tmp_path / "corpus.txt").write_bytes((prose * 50).encode())
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == (6 if tokenizer == "byte" else 10):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(plan_for(tokenizer=tokenizer, vocab_size=300), tmp_path, progress=False, interrupt=count)
    assert list((cache / "datasets").iterdir()) == []


# --------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "corpus-empty"),
        (b"\xef\xbb\xbf", "corpus-empty"),
        (b"a\0b", "corpus-binary"),
        (b"\xe9", "corpus-not-utf8"),
    ],
)
def test_bad_corpora_leave_nothing_behind(
    plan_for: MakePlan, tmp_path: Path, cache: Path, content: bytes, code: str
) -> None:
    (tmp_path / "corpus.txt").write_bytes(content)
    assert _error(plan_for(), tmp_path).code == code
    assert not cache.exists() or not [path for path in cache.rglob("*") if path.is_file()]


@pytest.mark.parametrize("text", ["x", "short", "0123456789abcdef" + "v"])
def test_a_corpus_shorter_than_one_sequence(plan_for: MakePlan, tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.txt").write_text(text)
    error = _error(plan_for(max_seq_len=16), tmp_path)
    assert error.code == "corpus-too-short" and "max_seq_len" in error.advice


def test_just_long_enough(plan_for: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("0123456789abcdefg" + "vv")
    assert len(_prepare(plan_for(max_seq_len=16), tmp_path).train) == 17


def test_a_vocabulary_that_does_not_fit(plan_for: MakePlan, tmp_path: Path, prose: str) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    for tokenizer in ("byte", "char", "bpe"):
        error = _error(plan_for(tokenizer=tokenizer, vocab_size=20), tmp_path)
        assert error.code == "vocabulary-too-small" and "model_config.vocab_size" in error.message


def test_an_unknown_tokenizer(plan_for: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("text " * 100)
    assert _error(plan_for(tokenizer="word"), tmp_path).code == "tokenizer-unknown"


def test_a_corpus_that_changes_while_it_is_read(
    plan_for: MakePlan, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus.txt").write_text("before " * 100)

    def change_then_encode() -> object:
        (tmp_path / "corpus.txt").write_text("after! " * 100)
        return byte_tokenizer()

    monkeypatch.setattr(prepare_module, "byte_tokenizer", change_then_encode)
    assert _error(plan_for(), tmp_path).code == "corpus-changed"
    assert list((cache / "datasets").iterdir()) == []
    monkeypatch.undo()
    assert prepare(plan_for(), tmp_path, cache_dir=cache, progress=False).train_text().startswith("after!")


# ------------------------------------------------------------------------------------- processes, disks, permissions


# For n = 1, 2, … forks a process that kills itself with SIGKILL at its n-th operation on the cache, until one gets
# through; after each, a process that is not killed has to find or make the whole dataset.
KILLED_AT_EVERY_STEP = """
import os, shutil, signal
cache = pathlib.Path(os.environ['TRICKSTER_CACHE_DIR'])
WATCHED = ('open', 'os.mkdir', 'os.rename', 'os.remove', 'os.rmdir', 'os.truncate')
text = (pathlib.Path(sys.argv[2]) / 'corpus.txt').read_bytes().decode()
def killed_at(step):
    left = step
    def watch(event, args):
        nonlocal left
        if event in WATCHED and any(isinstance(a, (str, os.PathLike)) and str(cache) in str(a) for a in args):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    child = os.fork()
    if child == 0:
        sys.addaudithook(watch)
        try:
            prepare(plan, pathlib.Path(sys.argv[2]), progress=False)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
kills = 0
while (status := killed_at(kills + 1)) == -signal.SIGKILL:
    kills += 1
    for finished in (cache / 'datasets').glob('[!.]*'):
        names = {path.name for path in finished.iterdir()}
        assert names >= {'train.bin', 'val.bin', 'dataset.json', 'tokenizer.json'}, (kills, names)
    dataset = prepare(plan, pathlib.Path(sys.argv[2]), progress=False)
    assert dataset.train_text() + dataset.val_text() == text, kills
    # The next one begins without a finished dataset, but with all the rubbish of those before.
    shutil.rmtree(dataset.directory)
    shutil.rmtree(cache / 'index')
assert status == 0, status
print(kills, len(list((cache / 'datasets').glob('.building-*'))))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_every_step_nothing_half_made_is_ever_found(tmp_path: Path, prose: str) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    os.utime(tmp_path / "corpus.txt", LONG_AGO)
    indexed_at_once = "import trickster_engine.data.index as module; module._SETTLED_NS = -1"
    child = _child(indexed_at_once + KILLED_AT_EVERY_STEP, tmp_path)
    output, problems = child.communicate(timeout=120)
    assert child.returncode == 0, problems
    kills, rubbish = (int(number) for number in output.split())
    assert kills >= 12  # folders, four files and their flushing, the rename, the index
    assert rubbish >= 3


@pytest.mark.parametrize("part", ["train.bin", "val.bin"])
def test_killed_in_the_middle_of_writing(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, part: str
) -> None:
    text = prose * 300  # 20 MB: writing takes a while
    (tmp_path / "corpus.txt").write_bytes(text.encode())
    plan = plan_for(val_fraction=0.5)
    child = _child(
        "plan = with_data(val_fraction=0.5)\nrun()",
        tmp_path,
    )
    while child.poll() is None:
        with contextlib.suppress(OSError):
            if any(path.stat().st_size > 1 << 20 for path in cache.glob(f"datasets/.building-*/{part}")):
                break
    child.kill()
    child.communicate()
    killed = 1 if sys.platform == "win32" else -9
    assert child.returncode == killed, "the child was through before it could be killed"
    assert not list((cache / "datasets").glob("[!.]*"))
    dataset = _prepare(plan, tmp_path)
    assert dataset.val_text() == text[len(text) - len(text) // 2 :]


def test_rubbish_of_the_dead_is_swept_and_of_the_living_is_not(plan_for: MakePlan, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "corpus.txt").write_text("text " * 100)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    names = {
        "dead": f".building-{host}-{dead.pid}-00000000",
        "just now": f".building-{host}-{dead.pid}-00000001",
        "living": f".building-{host}-{os.getpid()}-00000000",
        "foreign": f".building-some-other-host-{dead.pid}-00000000",
        "foreign and ancient": f".building-some-other-host-{dead.pid}-00000001",
    }
    hour_ago = time.time() - 3600
    for what, name in names.items():
        folder = cache / "datasets" / name
        folder.mkdir(parents=True)
        (folder / "train.bin").write_bytes(b"x")
        when = LONG_AGO[0] if "ancient" in what else hour_ago
        if what != "just now":
            for path in (folder / "train.bin", folder):
                os.utime(path, (when, when))
    _prepare(plan_for(), tmp_path)
    left = {what for what, name in names.items() if (cache / "datasets" / name).exists()}
    assert left == {"just now", "living", "foreign"}


def test_many_processes_at_once(tmp_path: Path, prose: str, cache: Path) -> None:
    (tmp_path / "corpus.txt").write_bytes((prose * 40).encode())
    children = [_child("run()", tmp_path, "char", 300) for _ in range(5)]
    outputs = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * 5, outputs
    assert len({output for output, _ in outputs}) == 1
    assert len(list((cache / "datasets").iterdir())) == 1
    assert _leftovers(cache) == []


def test_a_cache_that_cannot_be_written(plan_for: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corpus.txt").write_text("text " * 100)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRICKSTER_CACHE_DIR", str(tmp_path / "file" / "cache"))
    error = _error(plan_for(), tmp_path)
    assert error.code == "cache-unwritable"
    assert str(tmp_path / "file") in error.message and "TRICKSTER_CACHE_DIR" in error.advice


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_read_only_cache_serves_what_it_has_and_refuses_the_rest(
    plan_for: MakePlan, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "corpus.txt").write_text("text " * 100)
    fingerprint = _prepare(plan_for(), tmp_path).fingerprint
    shutil.rmtree(cache / "index", ignore_errors=True)
    for folder in [cache, *(path for path in cache.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder == Path("/tmp"):
            break
        with contextlib.suppress(OSError):
            folder.chmod(folder.stat().st_mode | 0o055)
    become_nobody = "import os\nif os.geteuid() == 0: os.setuid(65534)\n"
    try:
        served = _child(become_nobody + "run()", tmp_path)
        output, problems = served.communicate()
        assert output.split()[:1] == [fingerprint], problems
        refused = _child(become_nobody + "run()", tmp_path, "char")
        output, problems = refused.communicate()
        assert (output.split()[:1], refused.returncode) == (["cache-unwritable"], 3), problems
    finally:
        for folder in [cache, cache / "datasets"]:
            folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("tokenizer", ["byte", "bpe"])
def test_a_limit_on_file_size_counts_as_a_full_disk(tmp_path: Path, prose: str, cache: Path, tokenizer: str) -> None:
    (tmp_path / "corpus.txt").write_bytes((prose * 20).encode())
    script = "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\nrun()"
    child = _child(script, tmp_path, tokenizer, 400)
    output, problems = child.communicate()
    assert (child.returncode, output.split()[:1]) == (3, ["disk-full"]), problems
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs")
def test_a_disk_that_is_really_full(plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path) -> None:
    cache.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(cache)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        (tmp_path / "corpus.txt").write_bytes((prose * 20).encode())
        error = _error(plan_for(), tmp_path)
        assert error.code == "disk-full" and "Free some space" in error.advice
        assert [path for path in cache.rglob("*") if path.is_file()] == []
        (tmp_path / "corpus.txt").write_bytes(prose.encode())
        assert _prepare(plan_for(), tmp_path).train_characters > 50_000  # the room was given back
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="the peak of a process is not asked for there")
@pytest.mark.parametrize(("tokenizer", "megabytes"), [("byte", 200), ("char", 60)])
def test_a_corpus_larger_than_memory_may_be(tmp_path: Path, prose: str, tokenizer: str, megabytes: int) -> None:
    """A stream: the process grows by a few chunks, not by the corpus."""
    block = prose.encode()
    with (tmp_path / "corpus.txt").open("wb") as stream:
        for _ in range(megabytes * 1_000_000 // len(block) + 1):
            stream.write(block)
    script = (
        "small = pathlib.Path(sys.argv[2]) / 'small.txt'\n"
        "small.write_text('a few words to begin with ' * 100)\n"
        "prepare(with_data(corpus=str(small)), small, progress=False)\n"
        "before = peak_memory()\n"
        "run()\n"
        "print(before, peak_memory())"
    )
    child = _child(script, tmp_path, tokenizer, 256)
    output, problems = child.communicate()
    assert child.returncode == 0, problems
    before, after = (int(number) for number in output.split()[-2:])
    assert after - before < 64 << 20
