"""n-gram models equal a direct reading of their formula, token by token, on text small enough to do it slowly."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickster_engine.config.plan import DataConfig, ModelConfig, Plan
from trickster_engine.data import baselines as baselines_module
from trickster_engine.data import batches as batches_module
from trickster_engine.data.baselines import NAMES, Baseline, best_order, measure_baselines, ngram_baselines
from trickster_engine.data.kneser_ney import negative_log_likelihoods
from trickster_engine.data.prepare import Dataset, prepare


class _Slow:
    """Interpolated modified Kneser-Ney as it is written in `kneser_ney.py`'s first lines, with dictionaries."""

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


def _nats(train: Sequence[int], val: Sequence[int], vocab_size: int = 5, orders: int = 6) -> list[float]:
    counted = negative_log_likelihoods(np.array(train, dtype=np.int64), np.array(val, dtype=np.int64), vocab_size)
    return [value / (len(val) - 1) for value in islice(counted, orders)]


def _check_formula(train: list[int], val: list[int]) -> None:
    for length, nats in enumerate(_nats(train, val)):
        assert nats == pytest.approx(_Slow(train, 5, length).nats(val), rel=1e-9)


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
@given(train=st.lists(IDS, min_size=1, max_size=60), context=st.lists(IDS, min_size=5, max_size=5))
def test_probabilities_add_up_to_one(train: list[int], context: list[int]) -> None:
    """Measured through the front door: each possible next token as the end of a text of its own."""
    before = [nats * 4 for nats in _nats(train, context)]
    after = [[nats * 5 for nats in _nats(train, [*context, word])] for word in range(5)]
    for order in range(6):
        assert sum(math.exp(before[order] - one[order]) for one in after) == pytest.approx(1)


def test_the_best_order_is_chosen_without_the_validation_text() -> None:
    chance = np.random.default_rng(3)
    words = chance.integers(0, 20, (40, 6))
    train = words[chance.integers(0, 40, 2_000)].reshape(-1)
    measured = measure_baselines(train, chance.integers(0, 20, 500), 20, 1.0)  # noise: there no context pays
    assert [baseline.name for baseline in measured][:4] == list(NAMES)
    assert best_order(train, 20) == int(measured[-1].name.split("-")[0]) > 3
    assert measured[-1].nats > measured[1].nats
    noise = chance.integers(0, 20, 12_000)
    assert best_order(noise, 20) == 1
    assert [baseline.name for baseline in measure_baselines(noise, noise[:500], 20, 1.0)] == list(NAMES)


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
    measured = [baseline.nats for baseline in measure_baselines(tokens[:360_000], tokens[360_000:], 32_000, 4.0)]
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
    assert first == measure_baselines(dataset.train[:], dataset.val[:], 256, dataset.characters_per_token)
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
    measured = ngram_baselines(dataset)
    assert [baseline.name for baseline in measured] == [*NAMES, "7-gram"]
    assert [round(baseline.nats, 4) for baseline in measured] == [5.5452, 3.3473, 2.4839, 2.0387, 1.5171]
    assert [round(baseline.bits_per_character, 4) for baseline in measured] == [8.0, 4.8292, 3.5836, 2.9413, 2.1887]
    # Computed by somebody else's program, over bytes and with the same split.
    elsewhere = {3: 2.0388, 5: 1.5618, 6: 1.5232, 7: 1.5171}
    found = _nats(np.asarray(dataset.train).tolist(), np.asarray(dataset.val).tolist(), 256, 7)
    assert {order: found[order - 1] for order in elsewhere} == pytest.approx(elsewhere, abs=1e-4)
