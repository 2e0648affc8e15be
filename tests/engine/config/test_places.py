"""What could be written at a position, in good text and in half-written text."""

from __future__ import annotations

import pytest

from trickster_engine.config import Place, Position, parse


def _place(text: str) -> Place:
    """The place of the `|` in a text."""
    offset = text.index("|")
    document = parse(text.replace("|", ""))
    return document.place_at(document.lines.position(offset))


TAUGHT = ("value", "training_config", "distill_from")


@pytest.mark.parametrize(
    ("text", "kind", "section", "name", "typed"),
    [
        ("|", "section", None, None, ""),
        ("mod|", "section", None, None, "mod"),
        ("model_config:\n  num_layers: 4\ntrain|", "section", None, None, "train"),
        ("model_config:\n  |", "key", "model_config", None, ""),
        ("model_config:\n  hid|", "key", "model_config", None, "hid"),
        ("model_config:\n  hid|den_dim: 256\n", "key", "model_config", None, "hid"),
        ("model_config:\n  hidden_dim: |", "value", "model_config", "hidden_dim", ""),
        ("model_config:\n  hidden_dim: 25|6\n", "value", "model_config", "hidden_dim", "25"),
        ("device_config:\n  device_type: c|\n", "value", "device_config", "device_type", "c"),
        ("model_config:\n  num_layers: 4\n\n  |\ntraining_config:\n", "key", "model_config", None, ""),
        ("model_config:\n  num_layers: [\n  hid|\n", "key", "model_config", None, "hid"),
        ("model_config:\n  num_layers: 4  # com|ment\n", "comment", "model_config", None, ""),
        ('sampling_config:\n  prompt: "#|', "value", "sampling_config", "prompt", '"#'),
        ("\ufeffmodel_config:\n  |", "key", "model_config", None, ""),
        ("training_config:\n  distill_from: [|", "value", "training_config", "distill_from", ""),
        ("training_config:\n  distill_from: [a, ru|]\n", "value", "training_config", "distill_from", "ru"),
        ("training_config:\n  distill_from:\n    - ru|\n", "value", "training_config", "distill_from", "ru"),
        ("training_config:\n  distill_from:\n  - a\n\n  - |\n", "value", "training_config", "distill_from", ""),
        ("training_config:\n  seed: 3\n  - |\n", "key", "training_config", None, "- "),
        ("- |", "section", None, None, "- "),
        ("training_config:\n  distill_from:  # two\n    # first\n    - a\n    - |\n", *TAUGHT, ""),
        ("training_config:\n  distill_from: &t\n    - |\n", *TAUGHT, ""),
        ("data_config:\n  corpus:\n    - path: a\n      weight: 2\n    - b|\n", "value", "data_config", "corpus", "b"),
        ("training_config:\n  distill_from: [\n    a,\n    ru|\n  ]\n  seed: 3\n", *TAUGHT, "ru"),
        ("training_config:\n  distill_from: [a,\n                 |]\n", *TAUGHT, ""),
        ("training_config:\n  distill_from: ['a, b|']\n", *TAUGHT, "'a, b"),
        ("training_config:\n  distill_from: &t [|]\n", *TAUGHT, ""),
        ("training_config:\n  distill_from:\n    -|\n", "value", "training_config", None, ""),
        ("training_config:\n  distill_from: [a] |\n", "value", "training_config", None, ""),
        ("data_config:\n  corpus: [{path: |, weight: 2}]\n", "value", "data_config", None, ""),
        ("data_config:\n  corpus: a[1|].txt\n", "value", "data_config", "corpus", "a[1"),
        ("training_config:\n  seed: 3\n    ru|\n", "key", "training_config", None, "ru"),
    ],
)
def test_kinds(text: str, kind: str, section: str | None, name: str | None, typed: str) -> None:
    place = _place(text)
    assert (place.kind, place.section, place.name, place.typed) == (kind, section, name, typed)


def test_the_range_is_the_word_to_be_replaced() -> None:
    place = _place("model_config:\n  hid|den_dim: 256\n")
    assert place.range == ((1, 2), (1, 12))
    place = _place("model_config:\n  hidden_dim: 2|56  # wide\n")
    assert place.range == ((1, 14), (1, 17))


def test_the_range_in_a_list_is_the_item() -> None:
    place = _place("data_config:\n  include: ['*.txt', b|c, d]\n")
    assert place.in_list and place.range == ((1, 21), (1, 23))
    place = _place("data_config:\n  corpus:\n    - a|b  # a text\n")
    assert place.in_list and place.range == ((2, 6), (2, 8))
    place = _place("training_config:\n  distill_from: [my ru|n dir, b]\n")
    assert place.in_list and place.range == ((1, 17), (1, 27))
    place = _place("training_config:\n  distill_from: ['a, b|c', d]\n")
    assert place.in_list and place.range == ((1, 17), (1, 24))
    assert not _place("data_config:\n  corpus: a|b\n").in_list


def test_what_is_there_already() -> None:
    text = "model_config:\n    num_layers: 4\n    |\n    num_heads: 2\ntraining_config:\n  seed: 1\n"
    place = _place(text)
    assert place.present == {"num_layers", "num_heads"}
    assert place.indent == "    "
    assert _place("data_config:\n  a: 1\ntr|\nmodel_config:\n").present == {"data_config", "model_config"}


def test_outside_the_text() -> None:
    document = parse("model_config:\n")
    assert document.place_at(Position(99, 99)).kind in ("key", "section")
