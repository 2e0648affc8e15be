"""docs/measures.md: short, and its figures are those of the recorded runs."""

from __future__ import annotations

import json

import pytest

from tests.walkthroughs.pages import ROOT, prose
from tools.domains_page import KEPT, PUBLISHED, render
from trickster_engine.evaluation.item_measures import BUILT_IN

PAGE = ROOT / "docs/measures.md"
RECORDED = sorted(path.stem for path in KEPT.glob("*.json"))


def test_the_page_is_fresh_and_read_in_three_minutes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(PAGE) == text, "run: python -m tools.domains_page render docs/measures.md"
    assert len(prose(text.split("## Recorded runs")[0] + text.split("<!-- /domain -->")[-1]).split()) <= 550
    assert RECORDED and set(RECORDED) <= set(BUILT_IN)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_run_is_whole_and_beside_an_n_gram_and_real_text(name: str) -> None:
    kept = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    model, counted, real = kept["figures"]
    assert (model, real) == ("this model", "held-out text") and counted.endswith("-gram")
    assert min(kept["items"].values()) >= 100 and all(
        set(values) == set(kept["figures"][model]) for values in kept["figures"].values()
    )
    fast, strided = kept["rows"]
    assert strided["nats"] < fast["nats"], "more context helps"
    shares = [v for values in kept["figures"].values() for number, v in values.items() if number != "first illegal"]
    assert all(0 <= share <= 1 for share in shares)
    for figures in PUBLISHED.get(name, {}).values():
        assert set(figures) <= set(kept["figures"][model])
