"""n-gram models equal a direct reading of their formula, token by token, on text small enough to do it slowly."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickster_engine.config.plan import DataConfig, ModelConfig, Plan
from trickster_engine.data import baselines as baselines_module
from trickster_engine.data import batches as batches_module
from trickster_engine.data import ngram_counts
from trickster_engine.data.baselines import NAMES, Baseline, kept_baselines, measure_baselines, ngram_baselines
from trickster_engine.data.kneser_ney import Predictions, predict
from trickster_engine.data.prepare import Dataset, prepare


class _Slow:
    """Interpolated modified Kneser-Ney as it is written in `kneser_ney.py`'s first lines, with dictionaries."""

    def __init__(self, texts: Sequence[Sequence[int]], vocab_size: int, length: int) -> None:
        self.vocab_size = vocab_size
        self.length = length
        self.counts: list[Counter[tuple[int, ...]]] = []
        for size in range(1, length + 2):
            ngrams = _ngrams(texts, size)
            if size <= length:  # below its own length: how many different tokens came before
                ngrams = [ngram[1:] for ngram in set(_ngrams(texts, size + 1))]
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

    def loss(self, val: Sequence[int], place: int) -> float:
        return -math.log(self.probability(val[place], tuple(val[max(0, place - self.length) : place])))


def _ngrams(texts: Sequence[Sequence[int]], size: int) -> list[tuple[int, ...]]:
    return [tuple(text[end - size : end]) for text in texts for end in range(size, len(text) + 1)]


IDS = st.integers(0, 4)


def _predict(train: Sequence[int], val: Sequence[int], vocab_size: int = 5, orders: int = 6) -> list[Predictions]:
    counted, text = np.array(train, dtype=np.int64), np.array(val, dtype=np.int64)
    return list(islice(predict(lambda: [counted], text, vocab_size), orders))


def _check_formula(train: list[int], val: list[int]) -> None:
    for length, model in enumerate(_predict(train, val)):
        still = _Slow([train], 5, length)
        assert model.losses == pytest.approx([still.loss(val, place) for place in range(1, len(val))], rel=1e-9)
        contexts = {tuple(ngram[:-1]) for ngram in _ngrams([train], length + 1)}
        known = [place >= length and tuple(val[place - length : place]) in contexts for place in range(1, len(val))]
        assert model.seen.tolist() == known
        # One that goes on counting is a model of its own at every place.
        growing = [_Slow([train, val[:place]], 5, length).loss(val, place) for place in range(1, len(val))]
        assert model.dynamic_losses == pytest.approx(growing, rel=1e-9)


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
@given(train=st.lists(IDS, min_size=1, max_size=60), context=st.lists(IDS, min_size=1, max_size=8))
def test_probabilities_add_up_to_one(train: list[int], context: list[int]) -> None:
    """Measured through the front door: each possible next token as the end of a text of its own."""
    after = [_predict(train, [*context, word]) for word in range(5)]
    for order in range(6):
        assert sum(math.exp(-one[order].losses[-1]) for one in after) == pytest.approx(1)
        assert sum(math.exp(-one[order].dynamic_losses[-1]) for one in after) == pytest.approx(1)


@pytest.mark.parametrize("vocab_size", [5, 256, 70_000])
def test_a_text_counted_in_parts_counts_the_same(vocab_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks, with few n-grams held at a time; 17 bits a token are too many for 64 from four tokens on."""
    chance = np.random.default_rng(4)
    train = chance.zipf(1.3, 4_000) % vocab_size
    text = np.concatenate([train[500:700], chance.zipf(1.3, 300) % vocab_size])
    whole = _predict(train.tolist(), text.tolist(), vocab_size, 8)
    monkeypatch.setattr(ngram_counts, "HELD", 200)
    times = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal times
        times += 1
        yield from np.array_split(train, 150)

    parts = list(islice(predict(blocks, text, vocab_size), 8))
    assert times > 100, "it was not divided"
    for one, other in zip(whole, parts, strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-9)
        assert one.dynamic_losses == pytest.approx(other.dynamic_losses, abs=1e-9)


def test_the_best_order_is_chosen_without_the_validation_text() -> None:
    chance = np.random.default_rng(3)
    words = chance.integers(0, 20, (40, 6))
    train = words[chance.integers(0, 40, 2_000)].reshape(-1)
    measured = measure_baselines(train, chance.integers(0, 20, 500), 20, 1.0)  # noise: there no context pays
    assert [baseline.name for baseline in measured][:4] == list(NAMES)
    assert int(measured[4].name.split("-")[0]) > 3
    assert measured[4].nats > measured[1].nats
    noise = chance.integers(0, 20, 12_000)
    names = [baseline.name for baseline in measure_baselines(noise, noise[:500], 20, 1.0)]
    assert names == [*NAMES, "unigram, dynamic"]


def test_a_text_that_repeats_is_nearly_certain_to_a_trigram() -> None:
    train = np.tile(np.arange(10, dtype=np.uint16), 1000)
    measured = {baseline.name: baseline.nats for baseline in measure_baselines(train, train[:500], 10, 1.0)}
    assert measured["unigram"] == pytest.approx(math.log(10), abs=1e-3)
    assert measured["bigram"] < 0.01 and measured["trigram"] < 0.01


def test_bits_per_byte_allow_for_longer_tokens() -> None:
    tokens = np.array([0, 1, 0, 1], dtype=np.uint8)
    for baseline in measure_baselines(tokens, tokens, 4, 2.5):
        assert baseline.bits_per_byte == pytest.approx(baseline.nats / math.log(2) / 2.5)


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
    assert first == measure_baselines(dataset.train, dataset.measured_val, 256, dataset.bytes_per_token)
    wider = ngram_baselines(dataset, 512)
    assert wider[0].nats == pytest.approx(math.log(512))

    def again(*_: object) -> list[Baseline]:
        raise AssertionError("counted again")

    monkeypatch.setattr(baselines_module, "measure_baselines", again)
    assert ngram_baselines(dataset) == ngram_baselines(dataset, 256) == first
    assert ngram_baselines(dataset, 512) == wider


def test_subwords_are_held_to_the_best_n_gram_over_bytes_too(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    words = ["the", "cat", "sät", "on", "a", "mat;", "dog", "log.\n"]
    (tmp_path / "corpus.txt").write_text(" ".join(words[i] for i in chance.integers(0, 8, 6_000)), encoding="utf-8")
    texts = DataConfig(corpus="corpus.txt", tokenizer="bpe")
    subwords = prepare(Plan(model=ModelConfig(vocab_size=280, max_seq_len=16), data=texts), tmp_path, progress=False)
    assert subwords.tokenizer.kind == "bpe"
    measured = {baseline.name: baseline for baseline in ngram_baselines(subwords)}
    (name,) = (name for name in measured if name.startswith("byte ") and name.endswith("gram"))
    # The same text, cut into bytes by hand: what counting of bytes loses on all but the first token's.
    train = np.frombuffer(subwords.tokenizer.to_bytes(subwords.train[:]), dtype=np.uint8)
    val = np.frombuffer(subwords.tokenizer.to_bytes(subwords.val[:]), dtype=np.uint8)
    order = int(name.removeprefix("byte ").removesuffix("-gram"))
    model = _predict(train.tolist(), val.tolist(), 256, order)[-1]
    first = len(subwords.tokenizer.to_bytes(subwords.val[:1]))
    assert measured[name].nats == pytest.approx(model.losses[first - 1 :].sum() / (len(subwords.val) - 1))
    # A subword costs what its bytes cost one after the other, so in bits a byte it is the mean over the bytes.
    assert measured[name].bits_per_byte == pytest.approx(model.losses[first - 1 :].mean() / math.log(2))
    (going_on,) = (one for one in measured.values() if one.dynamic)
    assert going_on.name.removesuffix(", dynamic") == min(
        measured, key=lambda name: measured[name].nats + 9 * measured[name].dynamic
    )
    assert kept_baselines(subwords) == list(measured.values())


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
    assert [baseline.name for baseline in measured] == [*NAMES, "7-gram", "7-gram, dynamic"]
    assert [round(baseline.nats, 4) for baseline in measured] == [5.5452, 3.3473, 2.4839, 2.0387, 1.5171, 1.4072]
    bits = [round(baseline.bits_per_byte, 4) for baseline in measured]
    assert bits == [8.0, 4.8292, 3.5836, 2.9413, 2.1887, 2.0302]
    # Computed by somebody else's program, over bytes and with the same split.
    elsewhere = {3: 2.0388, 5: 1.5618, 6: 1.5232, 7: 1.5171}
    found = [model.losses.mean() for model in _predict(list(dataset.train[:]), dataset.measured_val.tolist(), 256, 7)]
    assert {order: found[order - 1] for order in elsewhere} == pytest.approx(elsewhere, abs=1e-4)
