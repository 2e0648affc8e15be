"""Batches: every window once an epoch, the same ones whenever they are asked for; every held-out token once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import refused
from trickster_engine.data import batches as batches_module
from trickster_engine.data.batches import TrainingBatches, evenly_spaced_windows, strided_windows, validation_windows
from trickster_engine.data.permutation import Permutation
from trickster_engine.errors import TricksterError


def _tokens(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint32)


@given(tokens=st.integers(2, 90), length=st.integers(1, 20), rows=st.integers(1, 4))
def test_strided_windows_predict_each_token_once_from_half_a_window(tokens: int, length: int, rows: int) -> None:
    text = np.arange(tokens)
    predicted: list[int] = []
    for (inputs, targets), known in strided_windows(text, length, rows):
        assert (targets == inputs + 1).all()
        assert len(inputs) <= rows and inputs.shape[1] <= length
        predicted += targets[:, known:].flatten().tolist()
        assert inputs[0, 0] == 0 or known + 1 >= length // 2 + length % 2
    assert predicted == list(range(1, tokens))


@given(count=st.integers(2, 400), length=st.integers(1, 40), batch=st.integers(1, 9), seed=st.integers(0, 2**64 - 1))
def test_an_epoch_deals_every_window_exactly_once(count: int, length: int, batch: int, seed: int) -> None:
    if count < length + 1:
        with pytest.raises(TricksterError) as caught:
            TrainingBatches(_tokens(count), length, batch, seed)
        assert caught.value.code == "corpus-too-short"
        return
    batches = TrainingBatches(_tokens(count), length, batch, seed)
    windows = batches.windows_per_epoch
    rows = np.concatenate([batches.batch(step)[0] for step in range(-(-3 * windows // batch))])
    for epoch in range(3):
        starts = np.sort(rows[epoch * windows : (epoch + 1) * windows, 0])
        assert len(starts) == windows
        assert (np.diff(starts) == length).all()  # side by side: no overlap, none twice
        assert starts[0] >= 0 and starts[-1] + length <= count - 1
        # At most the offset at one end and one window at the other are left out.
        assert windows * length > count - 1 - 2 * length


@given(step=st.integers(0, 10**6), accumulation=st.integers(1, 8), seed=st.integers(0, 1000))
def test_targets_are_the_next_tokens(step: int, accumulation: int, seed: int) -> None:
    x, y = TrainingBatches(_tokens(1000), 7, 3, seed).batch(step, accumulation - 1, accumulation)
    assert x.shape == y.shape == (3, 7) and x.dtype == y.dtype == np.int64
    assert x.flags.c_contiguous and y.flags.c_contiguous
    assert (y == x + 1).all() and (np.diff(x, axis=1) == 1).all()


def test_a_batch_depends_on_nothing_but_its_position() -> None:
    straight = TrainingBatches(_tokens(997), 8, 5, 3)
    wanted = {step: straight.batch(step) for step in range(200)}
    for step in (150, 3, 199, 0, 70, 70):
        resumed = TrainingBatches(_tokens(997), 8, 5, 3)
        assert np.array_equal(resumed.batch(step)[0], wanted[step][0])
        assert np.array_equal(straight.batch(step)[0], wanted[step][0])  # also when going back


def test_accumulation_deals_the_same_samples_as_larger_batches() -> None:
    small, large = TrainingBatches(_tokens(997), 8, 4, 3), TrainingBatches(_tokens(997), 8, 12, 3)
    for step in range(30):
        parts = [small.batch(step, micro, 3)[0] for micro in range(3)]
        assert np.array_equal(np.concatenate(parts), large.batch(step)[0])


def test_replaced_inputs_are_as_many_as_asked_for_and_leave_the_targets() -> None:
    text = _tokens(50_000) % 200
    plain, noisy = (TrainingBatches(text, 64, 16, 3, replaced, 256) for replaced in (0.0, 0.05))
    pairs = [(plain.batch(step), noisy.batch(step)) for step in range(100)]
    assert all(np.array_equal(one[1], other[1]) for one, other in pairs)
    changed = np.stack([other[0] != one[0] for one, other in pairs])
    # One in 256 draws is the very token that was there. 102,400 inputs: five standard deviations are 0.0034.
    assert abs(changed[:, :, 1:].mean() - 0.05 * 255 / 256) < 0.0034
    assert changed.any(axis=(0, 1)).tolist() == [False] + [True] * 63  # but for the first, which no target tells
    drawn = np.stack([other[0] for _, other in pairs])[changed]
    assert drawn.min() >= 0 and drawn.max() < 256 and len(np.unique(drawn)) == 256
    # Another time round the text, other tokens; asked for again, the same; however the update is divided.
    assert (changed[:40] != changed[60:]).any()
    again = TrainingBatches(text, 64, 4, 3, 0.05, 256)
    parts = [again.batch(70, micro, 4)[0] for micro in range(4)]
    assert np.array_equal(np.concatenate(parts), pairs[70][1][0])


def test_replacing_neither_ends_a_document_nor_joins_two() -> None:
    text = _tokens(50_000) % 40
    plain, noisy = (TrainingBatches(text, 64, 16, 3, replaced, 40, 39) for replaced in (0.0, 0.5))
    for step in range(30):
        before, after = plain.batch(step)[0], noisy.batch(step)[0]
        assert np.array_equal(before == 39, after == 39)
        assert (before != after).any()


def test_replaced_inputs_are_those_that_old_checkpoints_resume() -> None:
    batches = TrainingBatches(_tokens(1000), 10, 2, 1337, 0.3, 50)
    wanted = [[533, 15, 10, 40, 537, 538, 539, 540, 541, 542], [363, 364, 365, 366, 367, 368, 369, 17, 371, 372]]
    assert batches.batch(7)[0].tolist() == wanted


def test_epochs_and_seeds_differ_in_order_and_offset() -> None:
    def starts(seed: int, epoch: int) -> list[int]:
        batches = TrainingBatches(_tokens(10_000), 64, 1, seed)
        first = epoch * batches.windows_per_epoch
        return [int(batches.batch(first + index)[0][0, 0]) for index in range(batches.windows_per_epoch)]

    runs = [starts(0, 0), starts(0, 1), starts(0, 2), starts(1, 0)]
    assert len({tuple(run) for run in runs}) == 4
    assert len({min(run) for run in runs}) > 1
    assert all(run != sorted(run) for run in runs)


def test_the_order_is_the_one_that_old_checkpoints_resume() -> None:
    # These numbers must never change: a run that was started before could not be continued exactly.
    batches = TrainingBatches(_tokens(1000), 10, 6, 1337)
    assert batches.batch(0)[0][:, 0].tolist() == [93, 923, 163, 873, 183, 213]
    assert batches.batch(40)[0][:, 0].tolist() == [614, 394, 274, 454, 444, 774]


@pytest.fixture
def by_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shuffle as for a text of gigabytes."""
    monkeypatch.setattr(batches_module, "LISTED_WINDOWS", 0)


@given(size=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_a_permutation_deals_each_number_once(size: int, key: int) -> None:
    order = Permutation(size, key)
    assert sorted(order[place] for place in range(size)) == list(range(size))


def test_a_permutation_looks_random() -> None:
    size = 100_000_000
    dealt = np.array([Permutation(size, 3)[place] for place in range(20_000)])
    assert len(set(dealt.tolist())) == len(dealt)
    assert dealt.min() >= 0 and dealt.max() < size
    for lag in (1, 2, 3):
        assert abs(np.corrcoef(dealt[:-lag], dealt[lag:])[0, 1]) < 0.03
    # Twenty equal ranges of the text are met equally often: chi-squared with 19 degrees of freedom.
    counts = np.histogram(dealt, 20, (0, size))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 50
    # The gap between neighbours is as wide as between any two: size / 3.
    assert abs(np.abs(np.diff(dealt)).mean() / (size / 3) - 1) < 0.03
    assert [Permutation(size, key)[0] for key in (3, 4)] == [dealt[0], Permutation(size, 4)[0]]
    assert Permutation(size, 3)[5] != Permutation(size, 4)[5]


def test_a_long_text_is_dealt_whole_too(by_formula: None) -> None:
    batches = TrainingBatches(_tokens(9973), 8, 7, 3)
    windows = batches.windows_per_epoch
    rows = np.concatenate([batches.batch(step)[0] for step in range(-(-2 * windows // 7))])
    first, second = rows[:windows, 0], rows[windows : 2 * windows, 0]
    for starts in (first, second):
        assert (np.diff(np.sort(starts)) == 8).all() and len(set(starts.tolist())) == windows
    assert first.tolist() != second.tolist()
    assert np.array_equal(TrainingBatches(_tokens(9973), 8, 7, 3).batch(100)[0], batches.batch(100)[0])


def test_the_order_of_a_long_text_is_the_one_that_old_checkpoints_resume(by_formula: None) -> None:
    # These numbers must never change either.
    batches = TrainingBatches(_tokens(1000), 10, 6, 1337)
    assert batches.batch(0)[0][:, 0].tolist() == [603, 593, 293, 343, 73, 243]
    assert batches.batch(40)[0][:, 0].tolist() == [164, 74, 494, 34, 84, 514]


def test_a_text_of_gigabytes_needs_no_list_of_its_windows() -> None:
    class Endless:
        def __len__(self) -> int:
            return 10_000_000_000

        def __getitem__(self, span: slice) -> np.ndarray:
            return np.arange(span.start, span.stop)

    tracemalloc.start()
    batches = TrainingBatches(Endless(), 128, 16, 0)
    starts = np.concatenate([batches.batch(step)[0][:, 0] for step in range(200)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert batches.windows_per_epoch > 78_000_000 > batches_module.LISTED_WINDOWS
    assert starts.max() > 9_900_000_000 and starts.min() < 100_000_000
    assert peak < 16 << 20


def test_a_step_allocates_little_beyond_its_batch(tmp_path: Path) -> None:
    np.zeros(50_000_000, dtype=np.uint8).tofile(tmp_path / "train.bin")
    batches = TrainingBatches(np.memmap(tmp_path / "train.bin", dtype=np.uint8, mode="r"), 512, 16, 0)
    batches.batch(0)
    tracemalloc.start()
    batches.batch(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 16 * 512 * 8 * 1.5


@given(count=st.integers(2, 300), length=st.integers(1, 50), batch=st.integers(1, 7))
def test_every_held_out_token_but_the_first_is_predicted_once(count: int, length: int, batch: int) -> None:
    predicted: list[int] = []
    for x, y in validation_windows(_tokens(count), length, batch):
        assert x.shape == y.shape and x.shape[0] <= batch and x.shape[1] <= length
        assert (y == x + 1).all()
        predicted += y.reshape(-1).tolist()
    assert predicted == list(range(1, count))


def test_the_windows_do_not_depend_on_the_batch_size() -> None:
    def windows(batch: int) -> list[list[int]]:
        return [row.tolist() for x, _ in validation_windows(_tokens(1003), 16, batch) for row in x]

    assert windows(1) == windows(7) == windows(1000)


def test_nothing_to_predict() -> None:
    with refused("corpus-too-short"):
        list(validation_windows(_tokens(1), 8, 4))


@given(count=st.integers(2, 2000), length=st.integers(1, 50), wanted=st.integers(1, 20))
def test_evenly_spaced_windows(count: int, length: int, wanted: int) -> None:
    if count < length + 1:
        with refused("corpus-too-short"):
            evenly_spaced_windows(_tokens(count), length, wanted)
        return
    x, y = evenly_spaced_windows(_tokens(count), length, wanted)
    assert x.shape == y.shape == (min(wanted, (count - 1) // length), length)
    assert (y == x + 1).all()
    gaps = np.diff(x[:, 0])
    assert (gaps >= length).all()
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= length
