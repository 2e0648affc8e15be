"""Columns in UTF-16, UTF-8 and code points, and edits that cut characters in two."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types
from trickster_server.lsp.positions import Columns, changed

from trickster_engine.config.problems import Position
from trickster_engine.config.yaml.text import Lines

LINE = "a\N{PILE OF POO}\u00e9z"
WIDTHS = {"utf-8": [0, 1, 5, 7, 8], "utf-16": [0, 1, 3, 4, 5], "utf-32": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("encoding", WIDTHS)
def test_columns(encoding: str) -> None:
    columns = Columns(Lines(f"x\n{LINE}\n"), encoding)
    for index, units in enumerate(WIDTHS[encoding]):
        assert columns.to_client(Position(1, index)) == types.Position(1, units)
        assert columns.from_client(types.Position(1, units)) == Position(1, index)


def test_places_outside_are_moved_inside() -> None:
    columns = Columns(Lines("ab\ncd"), "utf-16")
    assert columns.from_client(types.Position(0, 99)) == Position(0, 2)
    assert columns.from_client(types.Position(99, 0)) == Position(1, 2)
    assert columns.to_client(Position(7, 3)) == types.Position(1, 2)
    assert columns.to_client(Position(0, 9)) == types.Position(0, 2)


_text = st.text(alphabet=st.sampled_from("ab\n\r\u00e9\N{PILE OF POO}\ud83d\udca9"), max_size=20)
_place = st.tuples(st.integers(0, 6), st.integers(0, 12))


@given(text=_text, start=_place, end=_place, new=_text)
def test_an_edit_is_what_a_utf_16_editor_makes_of_it(
    text: str, start: tuple[int, int], end: tuple[int, int], new: str
) -> None:
    """Against an editor that keeps its text as UTF-16 units, as VS Code does."""
    text = joined(text)
    span = types.Range(types.Position(*start), types.Position(*end))
    units, inserted = halves(text), halves(new)
    first, last = sorted((offset(units, start), offset(units, end)))
    assert changed(text, Lines(text), span, joined(new), "utf-16") == joined(units[:first] + inserted + units[last:])


def halves(text: str) -> str:
    data = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(int.from_bytes(data[index : index + 2], "little")) for index in range(0, len(data), 2))


def joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def offset(units: str, place: tuple[int, int]) -> int:
    """The place in an editor's text, held inside it."""
    ends = Lines(units)
    if place[0] >= len(ends):
        return len(units)
    start = ends.offset(Position(place[0], 0))
    return min(start + place[1], start + len(ends.line(place[0])))
