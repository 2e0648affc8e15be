"""The facts of a text: kept beside the dataset, measured again where they are missing, and bounded on large texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import dialogue
from trickster_engine.config.plan import Plan
from trickster_engine.data import index as index_module
from trickster_engine.data import overlap, survey
from trickster_engine.data.facts import CONTENT_FILE, LineEnds, kept_facts, share_text
from trickster_engine.data.overlap import Overlap, Repetition, all_hashes
from trickster_engine.data.prepare import prepare
from trickster_engine.data.read_text import with_lf
from trickster_engine.data.sharded import prepare_shards
from trickster_engine.data.survey import text_facts
from trickster_engine.system.printable import line_ends

MakePlan = Callable[..., Plan]
PIECES = st.lists(st.binary(max_size=40), max_size=8)


@given(PIECES, PIECES, st.integers(1, 12))
def test_shares_are_those_of_sets_of_slices(one: list[bytes], other: list[bytes], window: int) -> None:
    first, second = b"".join(one), b"".join(other)
    windows = [[text[at : at + window] for at in range(len(text) - window + 1)] for text in (first, second)]
    shared, repeated = Overlap(_hashes(one, window)), Repetition(len(second))
    for hashes in all_hashes(other, window):
        shared.add(hashes)
        repeated.add(hashes)
    known = set(windows[1])
    assert shared.share == (sum(one in known for one in windows[0]) / len(windows[0]) if windows[0] else 0)
    assert repeated.share == pytest.approx(1 - len(known) / len(windows[1]) if windows[1] else 0)


def _hashes(pieces: list[bytes], window: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.concatenate([np.empty(0, np.uint64), *all_hashes(pieces, window)])


def test_windows_across_blocks_count_and_a_sample_of_repetitions_is_about_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overlap, "_BLOCK", 1_000)
    chance = np.random.default_rng(3)
    text = chance.integers(0, 256, 60_000, dtype=np.uint8).tobytes() * 2
    assert len(_hashes([text[:777], text[777:]], 50)) == len(text) - 49
    whole, sample = Repetition(len(text)), Repetition(overlap._KEPT_HASHES * 20)
    for hashes in all_hashes([text], 50):
        whole.add(hashes)
        sample.add(hashes)
    assert whole.share == pytest.approx(0.5, abs=1e-3) and sample.share == pytest.approx(0.5, abs=0.02)


@given(st.lists(st.text("a\r\n", max_size=6), max_size=6))
def test_line_ends_are_counted_and_read_as_one_however_the_text_is_cut(chunks: list[str]) -> None:
    text = "".join(chunks)
    counted = LineEnds()
    for chunk in chunks:
        counted.add(chunk.encode())
    counted.finish()
    pairs = text.count("\r\n")
    assert (counted.crlf, counted.lf, counted.cr) == (pairs, text.count("\n") - pairs, text.count("\r") - pairs)
    # Python reads the files of every system in this way.
    assert "".join(with_lf(chunks)) == line_ends(text) == "\n".join(text.replace("\r\n", "\n").split("\r"))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0%"), (1e-9, "less than 0.1%"), (0.0612, "6.1%"), (0.99999, "more than 99.9%"), (1.0, "100.0%")],
)
def test_a_share_is_not_rounded_to_nothing_or_all(share: float, text: str) -> None:
    assert share_text(share) == text


def test_facts_are_kept_and_measured_again_where_they_are_not(plan_for: MakePlan, tmp_path: Path, prose: str) -> None:
    """A dataset of before there were facts has no file of them; one that was edited is not believed."""
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    plan = plan_for()
    dataset = prepare(plan, tmp_path, progress=False)
    kept = dataset.directory / CONTENT_FILE
    assert not kept.exists() and kept_facts(plan, dataset.source, dataset.directory) is None
    facts = text_facts(plan, dataset)
    assert kept_facts(plan, dataset.source, dataset.directory) == facts
    for content in ("{}", kept.read_text().replace('"overlap": ', '"overlap": 1'), "[" * 9_000):
        kept.write_text(content)
        assert kept_facts(plan, dataset.source, dataset.directory) is None
        assert text_facts(plan, dataset) == facts
    assert json.loads(json.dumps(facts.as_json()))["version"] == 1


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_may_not_be_written_costs_only_time(plan_for: MakePlan, tmp_path: Path, prose: str) -> None:
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    dataset = prepare(plan_for(), tmp_path, progress=False)
    dataset.directory.chmod(0o555)
    try:
        assert text_facts(plan_for(), dataset) == text_facts(plan_for(), dataset)
    finally:
        dataset.directory.chmod(0o755)


def test_a_larger_text_is_represented_by_portions_and_says_so(
    plan_for: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "SURVEYED_TOKENS", 20_000)
    monkeypatch.setattr(survey, "_BLOCK", 1_000)
    (tmp_path / "corpus.txt").write_text(dialogue(36_000) * 2)
    plan = plan_for()
    facts = text_facts(plan, prepare(plan, tmp_path, progress=False))
    assert facts.content is not None and facts.content.measured == pytest.approx(20_000 / 64_800)
    table = dict(facts.rows())
    assert table["Overlap"].startswith("at least ") and "(measured on 30.9% of it)" in table["Duplicated"]


def test_a_large_text_has_the_same_facts_and_can_be_read_with_one_line_end(
    plan_for: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards, worker processes and all."""
    text = dialogue(40_000).replace("\n", "\r\n")
    for number in range(3):
        (tmp_path / "books").mkdir(exist_ok=True)
        (tmp_path / f"books/{number}.txt").write_bytes((text if number else text + "\r").encode())
    for ends in ("keep", "lf"):
        for tokenizer, size in (("byte", 256), ("bpe", 300)):
            plan = plan_for("books", tokenizer, size, line_ends=ends)
            once = prepare(plan, tmp_path, cache_dir=tmp_path / "once", progress=False)
            with monkeypatch.context() as patch:
                patch.setattr(prepare_shards, "LARGE_BYTES", 10_000)
                patch.setattr(prepare_shards, "SHARD_BYTES", 10_000)
                sharded = prepare(plan, tmp_path, cache_dir=tmp_path / "sharded", progress=False, processes=1)
            assert sharded.train_text() == once.train_text() and sharded.val_text() == once.val_text()
            assert ("\r" in sharded.train_text()) == (ends == "keep")
            assert text_facts(plan, sharded) == text_facts(plan, once)


def test_one_word_of_four_hundred_thousand_letters_is_learned_in_seconds(plan_for: MakePlan, tmp_path: Path) -> None:
    """It took the square of its length: no sign of life in five minutes."""
    letters = np.random.default_rng(1).choice(np.frombuffer(b"ACGT", np.uint8), 400_000).tobytes().decode()
    (tmp_path / "corpus.txt").write_text(letters)
    begun = time.process_time()
    dataset = prepare(plan_for(tokenizer="bpe", vocab_size=1_024), tmp_path, progress=False)
    assert time.process_time() - begun < 60
    assert dataset.tokenizer.vocab_size == 1_024 and dataset.train_text() + dataset.val_text() == letters


def test_what_is_known_is_found_without_numpy(
    plan_for: MakePlan, tmp_path: Path, prose: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A language server shows the facts of a text that was prepared, and has neither NumPy nor the tokenizers."""
    monkeypatch.setattr(index_module, "_SETTLED_NS", -1)
    (tmp_path / "corpus.txt").write_bytes(prose.encode())
    facts = text_facts(plan_for(), prepare(plan_for(), tmp_path, progress=False))
    script = (
        "import sys, pathlib\n"
        "sys.modules.update(numpy=None, tokenizers=None, torch=None)\n"
        "from trickster_engine.config.plan import Plan, ModelConfig, DataConfig\n"
        "from trickster_engine.data.facts import kept_facts, source_of\n"
        "from trickster_engine.data.index import known_dataset, resolved_text\n"
        "from trickster_engine.config.own_output import NOTHING\n"
        "plan = Plan(model=ModelConfig(max_seq_len=16), data=DataConfig(corpus='corpus.txt'))\n"
        "text = resolved_text(plan, pathlib.Path(sys.argv[1]), NOTHING)\n"
        "known = known_dataset(pathlib.Path(sys.argv[2]), plan, text)\n"
        "print(kept_facts(plan, source_of(text), known).content)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, tmp_path, cache], capture_output=True, text=True, check=False
    )
    assert answer.stdout.strip() == str(facts.content), answer.stderr
