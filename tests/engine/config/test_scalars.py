"""Plain scalars mean what YAML 1.2 says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trickster_engine.config import parse
from trickster_engine.config.yaml.nodes import Mapping, Scalar, Sequence
from trickster_engine.config.yaml.scalars import as_yaml, looks_octal, number_text, resolve, yaml_1_1_boolean


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("1e6", 1e6),
        ("1E+6", 1e6),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5e1", -5.0),
        ("12", 12),
        ("+12", 12),
        ("-12", -12),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("yes", "yes"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("0o8", "0o8"),
        ("1e", "1e"),
        ("e5", "e5"),
        (".", "."),
        ("-", "-"),
        ("tRue", "tRue"),
        ("\u0663", "\u0663"),  # a digit, but not one that YAML knows
    ],
)
def test_resolve(text: str, value: object) -> None:
    result = resolve(text)
    assert result == value
    assert type(result) is type(value)


def test_not_a_number() -> None:
    found = resolve(".nan")
    assert isinstance(found, float) and math.isnan(found)


def test_enormous_numbers_are_infinite() -> None:
    assert resolve("9" * 5000) == math.inf
    assert resolve("-" + "9" * 5000) == -math.inf
    assert resolve("0x" + "f" * 5000) == math.inf
    assert resolve("0o" + "7" * 5000) == math.inf


@pytest.mark.parametrize("digits", [290, 299, 300, 301, 309, 310, 400])
@pytest.mark.parametrize("text", ["9", "-9", "0xf", "0o7"])
def test_every_number_has_a_float(text: str, digits: int) -> None:
    value = resolve(text + text[-1] * (digits - 1))
    assert isinstance(value, (int, float))
    assert not math.isnan(float(value))  # and nothing raised


def test_words_of_yaml_1_1() -> None:
    assert yaml_1_1_boolean("yes") is True
    assert yaml_1_1_boolean("Off") is False
    assert yaml_1_1_boolean("true") is None


def test_looks_octal() -> None:
    assert looks_octal("012")
    assert looks_octal("-07")
    assert not looks_octal("0")
    assert not looks_octal("00")
    assert not looks_octal("10")
    assert not looks_octal("0.1")


def test_numbers_are_written_short() -> None:
    assert [number_text(value) for value in (0.0003, 1e-5, 0.1, 3e-5, 1e-10, 10000.0, 1e22)] == [
        "3e-4",
        "1e-5",
        "0.1",
        "3e-5",
        "1e-10",
        "10000.0",
        "1e22",
    ]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))  # no file may hold the others
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(allow_nan=False), TEXTS)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=4))


def _read(node: object) -> object:
    if isinstance(node, Scalar):
        return node.value
    assert isinstance(node, Sequence)
    return [_read(item) for item in node.items]


@given(VALUES)
def test_what_is_written_reads_back(value: object) -> None:
    document = parse(f"a: {as_yaml(value)}\n")
    assert not document.problems, as_yaml(value)
    assert isinstance(document.root, Mapping)
    result = _read(document.root.entries[0].value)
    assert result == value
    if not isinstance(value, list):
        assert type(result) is type(value)
