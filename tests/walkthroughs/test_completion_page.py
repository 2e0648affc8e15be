"""docs/completion.md and the lesson: their figures are those of the kept measurements."""

from __future__ import annotations

import json

from tests.benchmarks.keys_saved import KEPT, NAMES
from tests.walkthroughs.pages import ROOT
from tools.completion_page import PAGE, render, share


def test_the_page_is_fresh() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(text) == text, "run: python -m tools.completion_page"


def test_what_was_kept_is_whole_and_the_lesson_names_it() -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    assert set(kept) == set(NAMES)
    for one in kept.values():
        assert one["model"]["characters"] == one["ngram"]["characters"] == one["characters"]
        for writer in (one["model"], one["ngram"]):
            assert 0 <= writer["right"] <= writer["offers"] <= writer["keys"] <= one["characters"]
            assert abs(writer["share"] - (1 - writer["keys"] / one["characters"])) < 1e-9
    figures = kept["shakespeare"]
    lesson = " ".join((ROOT / "walkthroughs" / "ownText.md").read_text(encoding="utf-8").split())
    saved, counted = (share(figures[writer]["share"]) for writer in ("model", "ngram"))
    assert f"`pico` saves {saved} of the keys; the {figures['ngram_order']}-gram model saves {counted}" in lesson


def test_where_counting_saves_more_the_page_says_so() -> None:
    library = json.loads(KEPT.read_text(encoding="utf-8"))["python"]
    assert library["model"]["share"] < library["ngram"]["share"]
    assert 0.2 < library["epochs"] < 0.3  # "a quarter of it"
