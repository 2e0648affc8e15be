"""Tunes, as music21 reads them. `make test-domains` installs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.walkthroughs.pages import ROOT
from trickster_engine.cli import main
from trickster_engine.config import check
from trickster_engine.evaluation.domains.tunes import measure

pytest.importorskip("music21", reason="music21 is not installed: make test-domains")

TUNE = "M:2/4 L:1/16 K:G G2GA BcdB|dcBc e2ef|gfge dBGB|cBAG FADF|G2GA BcdB|dcBc G4|]"


def test_bars_add_up_or_not() -> None:
    assert measure([TUNE], {TUNE}) == {"parse": 1.0, "bars add up": 1.0, "all bars": 1.0, "novel": 0.0}
    short = TUNE.replace("gfge dBGB", "gfge dBG")
    found = measure([TUNE, short], {TUNE})
    assert (found["parse"], found["all bars"], found["novel"]) == (1.0, 0.5, 0.5)
    assert found["bars add up"] == 7 / 8
    nonsense = ["no tune", "M:2/4 L:1/16 K:G [[ 33 {|", "M:9/0 L:1/16 K:Q zz|", "M:2/4 L:1/8 K:G z4|z4|z4|"]
    assert measure(nonsense, set())["parse"] == 0.0


def test_real_tunes_parse_and_their_bars_add_up(tmp_path: Path) -> None:
    folder = tmp_path / "tunes"
    assert main(["corpus", "tunes", "--to", str(folder)]) == 0
    train, held_out = ((folder / name).read_text().splitlines() for name in ("train.txt", "val.txt"))
    assert (len(train), len(held_out)) == (3731, 415) and not set(train) & set(held_out)
    assert f"{len(train) + len(held_out):,} dance tunes" in (ROOT / "docs/measures.md").read_text("utf-8")
    result = check((folder / "tunes.yaml").read_text("utf-8"), folder)
    assert result.plan is not None and not [one for one in result.problems if one.severity in ("error", "warning")]
    assert max(map(len, train)) < result.plan.model.max_seq_len
    found = measure(held_out[:30], set(train))
    assert found["parse"] == 1.0 and found["novel"] == 1.0
    assert found["bars add up"] > 0.97 and found["all bars"] > 0.85
