"""docs/inside.md: its figures are those of the kept measurements, and they are what the page says of them."""

from __future__ import annotations

import json

from tools.inside_page import KEPT, PAGE, render


def test_the_page_is_fresh() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert render(text) == text, "run: python -m tools.inside_page"


def test_an_induction_head_was_born() -> None:
    kept = json.loads((KEPT / "induction.json").read_text(encoding="utf-8"))
    first, *others = kept["moments"]
    assert first["step"] == 0 and first["induction"] < 0.1
    assert first["loss_second_time"] > 3  # as for letters drawn by chance: ln 31 = 3.43
    born = next(moment for moment in others if moment["induction"] >= kept["born_at_score"])
    assert born["step"] == kept["born_at_step"]
    assert all(moment["induction"] >= kept["born_at_score"] for moment in others if moment["step"] >= born["step"])
    assert others[-1]["loss_second_time"] < 0.1 and others[-1]["loss_first_time"] > 3
