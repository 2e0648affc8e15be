"""The baselines equal a direct reading of their formula, token by token, on text small enough to do it slowly."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickster_engine.config.plan import DataConfig, ModelConfig, Plan
from trickster_engine.data import baselines as baselines_module
from trickster_engine.data import batches as batches_module
from trickster_engine.data.baselines import Baseline, measure_baselines, ngram_baselines
from trickster_engine.data.prepare import Dataset, prepare


class _Slow:
    """Interpolated modified Kneser-Ney as it is written in the module's first lines, with dictionaries."""

    def __init__(self, train: list[int], vocab_size: int, length: int) -> None:
        self.vocab_size = vocab_size
        self.counts: list[Counter[tuple[int, ...]]] = []
        for size in range(1, length + 2):
            ngrams = [tuple(train[end - size : end]) for end in range(size, len(train) + 1)]
            if size <= length:  # below its own length: how many different tokens came before
                longer = {tuple(train[end - size - 1 : end]) for end in range(size + 1, len(train) + 1)}
                ngrams = [ngram[1:] for ngram in longer]
            self.counts.append(Counter(ngrams))

    def discount(self, size: int, count: int) -> float:
        n = Counter(self.counts[size].values())
        if not all(n[times] for times in (1, 2, 3, 4)):
            return 0.5 if count else 0
        share = n[1] / (n[1] + 2 * n[2])
        times = min(count, 3)
        estimate = times - (times + 1) * share * n[times + 1] / n[times] if times else 0
        return min(max(estimate, 0.1), times) if times else 0

    def probability(self, word: int, context: tuple[int, ...]) -> float:
        size = len(context)
        shorter = self.probability(word, context[1:]) if context else 1 / self.vocab_size
        if size >= len(self.counts):
            return shorter
        after = {ngram[-1]: count for ngram, count in self.counts[size].items() if ngram[:-1] == context}
        if not after:
            return shorter
        count = after.get(word, 0)
        taken_off = sum(self.discount(size, other) for other in after.values())
        return (count - self.discount(size, count) + taken_off * shorter) / sum(after.values())

    def nats(self, val: list[int]) -> float:
        longest = len(self.counts) - 1
        losses = [-math.log(self.probability(val[i], tuple(val[max(0, i - longest) : i]))) for i in range(1, len(val))]
        return sum(losses) / len(losses)


IDS = st.integers(0, 4)


def _check_formula(train: list[int], val: list[int]) -> None:
    measured = measure_baselines(np.array(train, dtype=np.uint8), np.array(val, dtype=np.uint8), 5, 1.0)
    assert [baseline.name for baseline in measured] == ["uniform", "unigram", "bigram", "trigram"]
    assert measured[0].nats == pytest.approx(math.log(5))
    for length, baseline in enumerate(measured[1:]):
        assert baseline.nats == pytest.approx(_Slow(train, 5, length).nats(val), rel=1e-9)


@settings(deadline=None)
@given(train=st.lists(IDS, min_size=1, max_size=60), val=st.lists(IDS, min_size=2, max_size=30))
def test_the_formula(train: list[int], val: list[int]) -> None:
    _check_formula(train, val)


@pytest.mark.parametrize("seed", range(8))
def test_the_formula_with_estimated_discounts(seed: int) -> None:
    chance = np.random.default_rng(seed)
    train = (chance.zipf(1.5, 250) % 5).tolist()
    counts = Counter(Counter(zip(train, train[1:], train[2:], strict=False)).values())
    assert all(counts[times] for times in (1, 2, 3, 4)), "this text would not need the estimates"
    _check_formula(train, (chance.zipf(1.5, 60) % 5).tolist())


@settings(deadline=None)
@given(train=st.lists(IDS, min_size=1, max_size=60), context=st.lists(IDS, min_size=2, max_size=2))
def test_probabilities_add_up_to_one(train: list[int], context: list[int]) -> None:
    """Measured through the front door: each possible third token as a held-out text of its own."""
    for which in (1, 2, 3):
        total = 0.0
        for word in range(5):
            val = np.array([*context, word])
            shorter = np.array(context)
            nats = measure_baselines(np.array(train), val, 5, 1.0)[which].nats * 2
            before = measure_baselines(np.array(train), shorter, 5, 1.0)[which].nats
            total += math.exp(before - nats)
        assert total == pytest.approx(1)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    train, val = chance.integers(0, 30, 5000).astype(np.uint8), chance.integers(0, 30, 1001).astype(np.uint8)
    whole = measure_baselines(train, val, 30, 1.0)
    for block in (1, 2, 3, 500, 1000):
        monkeypatch.setattr(baselines_module, "_BLOCK", block)
        for one, other in zip(whole, measure_baselines(train, val, 30, 1.0), strict=True):
            assert one.nats == pytest.approx(other.nats, rel=1e-12)


def test_a_text_that_repeats_is_nearly_certain_to_a_trigram() -> None:
    train = np.tile(np.arange(10, dtype=np.uint16), 1000)
    measured = {baseline.name: baseline.nats for baseline in measure_baselines(train, train[:500], 10, 1.0)}
    assert measured["unigram"] == pytest.approx(math.log(10), abs=1e-3)
    assert measured["bigram"] < 0.01 and measured["trigram"] < 0.01


def test_bits_per_character_allow_for_longer_tokens() -> None:
    tokens = np.array([0, 1, 0, 1], dtype=np.uint8)
    for baseline in measure_baselines(tokens, tokens, 4, 2.5):
        assert baseline.bits_per_character == pytest.approx(baseline.nats / math.log(2) / 2.5)


def test_a_large_vocabulary_is_counted_sparsely() -> None:
    chance = np.random.default_rng(1)
    tokens = (chance.zipf(1.3, 400_000) % 32_000).astype(np.uint16)
    begun = time.perf_counter()
    measured = [baseline.nats for baseline in measure_baselines(tokens[:360_000], tokens[360_000:], 32_000, 4.0)]
    assert time.perf_counter() - begun < 5
    assert measured[0] == pytest.approx(math.log(32_000))
    assert measured[1] < measured[0]


def test_a_large_training_text_is_represented_by_even_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines_module, "COUNTED_TOKENS", 1000)
    monkeypatch.setattr(batches_module, "_PORTION", 100)
    train = np.repeat(np.arange(10, dtype=np.uint8), 1000)  # ten stretches of ten thousand
    val = np.repeat(np.arange(10, dtype=np.uint8), 20)
    counted = batches_module.even_portions(train, 1000)
    assert len(counted) == 1000
    assert set(counted.tolist()) == set(range(10))
    assert counted[0] == 0 and counted[-1] == 9
    assert measure_baselines(train, val, 10, 1.0)[1].nats == pytest.approx(math.log(10), abs=0.05)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "corpus.txt").write_text("the cat sat on the mat; the dog sat on the log.\n" * 40)
    plan = Plan(model=ModelConfig(max_seq_len=16), data=DataConfig(corpus="corpus.txt"))
    return prepare(plan, tmp_path, cache_dir=tmp_path / "cache", progress=False)


def test_they_are_kept_beside_the_data(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ngram_baselines(dataset)
    assert first == measure_baselines(dataset.train, dataset.val, 256, dataset.characters_per_token)
    wider = ngram_baselines(dataset, 512)
    assert wider[0].nats == pytest.approx(math.log(512))

    def again(*_: object) -> list[Baseline]:
        raise AssertionError("counted again")

    monkeypatch.setattr(baselines_module, "measure_baselines", again)
    assert ngram_baselines(dataset) == ngram_baselines(dataset, 256) == first
    assert ngram_baselines(dataset, 512) == wider


@pytest.mark.parametrize("content", ["", "[", "3", "[3]", '[{"name": "uniform"}]', "[]", "\udcff"])
def test_a_damaged_file_is_counted_anew(dataset: Dataset, content: str) -> None:
    first = ngram_baselines(dataset)
    (kept,) = dataset.directory.glob("baselines*")
    kept.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert ngram_baselines(dataset) == first


def test_tiny_shakespeare(tmp_path: Path) -> None:
    folder = os.environ.get("TRICKSTER_CORPUS_DIR")
    if not folder or not (Path(folder) / "tinyshakespeare.txt").is_file():
        pytest.skip("TRICKSTER_CORPUS_DIR has no tinyshakespeare.txt")
    dataset = prepare(Plan(), tmp_path, cache_dir=tmp_path / "cache", progress=False)
    begun = time.perf_counter()
    measured = ngram_baselines(dataset)
    assert time.perf_counter() - begun < 5
    assert [round(baseline.nats, 4) for baseline in measured] == [5.5452, 3.3473, 2.4839, 2.0387]
    assert [round(baseline.bits_per_character, 4) for baseline in measured] == [8.0, 4.8292, 3.5836, 2.9413]
