"""The list of names that the backend touches is whole, and its page is fresh."""

from __future__ import annotations

from pathlib import Path

import trickster_engine
from tools import ttml_names

PAGE = Path(__file__).parents[3] / "docs" / "ttml-names.md"


def test_every_name_that_the_code_touches_is_on_the_list() -> None:
    assert ttml_names.unlisted() == set()


def test_every_name_on_the_list_is_touched() -> None:
    listed = {entry.name.rsplit(".", 1)[-1] for entry in ttml_names.NAMES}
    assert listed - ttml_names.touched() == set()


def test_a_new_name_is_noticed() -> None:
    source = ttml_names.DEVICE_FILE.read_text()
    for addition in ("\nx = ttml.ops.brand_new(1)\n", "\nx = hasattr(ttml, 'brand_new')\n", "\nx.value().brand_new\n"):
        assert ttml_names.unlisted(source + addition) == {"brand_new"} | ({"value"} if "value()" in addition else set())


def test_only_one_file_touches_ttml() -> None:
    engine = Path(trickster_engine.__file__).parent
    for path in engine.rglob("*.py"):
        if path not in (ttml_names.DEVICE_FILE, engine / "doctor" / "probe.py"):
            text = path.read_text()
            assert "ttml.autograd." not in text.replace('"ttml.autograd.', ""), path


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == ttml_names.page()


def test_every_name_has_evidence() -> None:
    for entry in ttml_names.NAMES:
        assert entry.evidence[:2] in ("S ", "U ", "M ", "W "), entry
        assert len(entry.evidence) > 5


def test_every_place_that_evidence_names_is_dated() -> None:
    shorts = [short for entry in ttml_names.SOURCES for short in entry[0].split(", ")]
    for entry in ttml_names.NAMES:
        for part in entry.evidence.split("; "):
            if part[:2] in ("S ", "U ", "W "):
                assert any(short in part for short in shorts), (entry.name, part)


def test_every_name_of_ttnn_is_asked_of_the_wheel() -> None:
    assert all(entry.evidence.startswith("W ") for entry in ttml_names.NAMES if entry.name.startswith("ttnn."))
