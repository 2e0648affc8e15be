"""Copied runs equal a search by brute force; words are what the module says they are."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trickster_engine.evaluation import text_measures
from trickster_engine.evaluation.text_measures import (
    copied_shares,
    longest_copied_run,
    longest_copied_runs,
    real_word_share,
    vocabulary_of,
    words_of,
)

FEW = st.text(st.sampled_from("ab🙂"), max_size=40)


def _slow(sample: str, training: str) -> int:
    return max(
        (
            end - start
            for start in range(len(sample))
            for end in range(start, len(sample) + 1)
            if sample[start:end] in training
        ),
        default=0,
    )


@settings(deadline=None, max_examples=300)
@given(sample=FEW, training=FEW)
def test_the_longest_run_is_the_longest(sample: str, training: str) -> None:
    length, text = longest_copied_run(sample, training)
    assert length == len(text) == _slow(sample, training)
    assert text in sample and text in training


@settings(deadline=None)
@given(samples=st.lists(FEW, max_size=3), pieces=st.lists(FEW, max_size=6), piece=st.integers(1, 50))
def test_runs_across_the_borders_of_pieces_are_found(samples: list[str], pieces: list[str], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_measures, "_PIECE", piece)
        found = longest_copied_runs(samples, pieces)
        assert [run.length for run in found] == [_slow(sample, "".join(pieces)) for sample in samples]
        assert found == longest_copied_runs(samples, iter(pieces))


@settings(deadline=None)
@given(text=st.text(), start=st.integers(0, 50))
def test_a_part_of_the_training_text_is_copied_whole(text: str, start: int) -> None:
    assert longest_copied_run(text[start:], text) == (len(text[start:]), text[start:])


def test_copied_shares_lie_within_one_sample() -> None:
    shares = copied_shares(["abcx", "cde"], "abcde", [1, 2, 3, 4, 9])
    assert shares == {1: pytest.approx(6 / 7), 2: pytest.approx(4 / 5), 3: pytest.approx(2 / 3), 4: 0.0}
    assert copied_shares([""], "abc", [1]) == {}


def test_the_hash_is_only_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hash that calls all windows equal, the answer is still proved by the text itself."""
    monkeypatch.setattr(text_measures, "_mixed", lambda values: values * 0)
    assert longest_copied_run("xxabcxx", "..abc..") == (3, "abc")


def test_a_copied_passage_in_a_large_text() -> None:
    chance = random.Random(3)
    training = "".join(chance.choice("abcdefghij \n") for _ in range(1_500_000))
    passage = training[1_048_500:1_048_700]  # across the border of two pieces
    sample = "Z" * 100 + passage + "Z" * 100
    begun = time.perf_counter()
    assert longest_copied_run(sample, training) == (200, passage)
    assert time.perf_counter() - begun < 10


def test_what_a_word_is() -> None:
    assert words_of("Don't stop, Ünïcode 東京 x2y end.") == ["don", "t", "stop", "ünïcode", "東京", "x", "y", "end"]
    assert words_of("STRASSE Straße.") == ["strasse", "strasse"]
    assert words_of("a_b 42 - ") == ["a", "b"]
    assert words_of("cut off he") == ["cut", "off"]
    assert words_of("ut off.", begins_inside=True) == ["off"]
    assert words_of(", whole.", begins_inside=True) == ["whole"]
    assert words_of("") == []


@settings(deadline=None)
@given(text=st.text(st.sampled_from("aB é'1\n"), max_size=60), size=st.integers(1, 9))
def test_a_vocabulary_from_pieces_is_that_of_the_whole(text: str, size: int) -> None:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    assert vocabulary_of(pieces) == vocabulary_of(text) == set(words_of(text + "."))


def test_share_of_real_words() -> None:
    vocabulary = vocabulary_of("The king is dead")
    assert vocabulary == {"the", "king", "is", "dead"}
    assert real_word_share("THE KING, xqz is!", vocabulary) == pytest.approx(3 / 4)
    assert real_word_share("the ki", vocabulary) == 1  # cut short, not wrong
    assert real_word_share("42 !?", vocabulary) == 0
    assert real_word_share("", vocabulary) == 0
