"""What a report lets a model go on from."""

from __future__ import annotations

from collections import Counter

import pytest

from trickster_engine.data.make_tokenizer import byte_tokenizer
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.report.beginning import beginning

TEXT = "  TERMS AND CONDITIONS\n\nThe state of the text\nis plain enough here.\n17. Of sections.\n"
FREQUENCIES = {character: count / len(TEXT) for character, count in Counter(TEXT.lower()).items()}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.mark.parametrize(("training", "held_out"), [("ROMEO:\nWhat?", TEXT), ("none", TEXT + "ROMEO: Ay.")])
def test_a_prompt_that_occurs_is_kept(training: str, held_out: str, tokenizer: Tokenizer) -> None:
    for prompt in ("ROMEO:", "ROMEO: ", " "):
        assert beginning(prompt, training, held_out, FREQUENCIES, tokenizer) == prompt


def test_an_ordinary_line_begins_where_the_prompt_is_unknown(tokenizer: Tokenizer) -> None:
    held_out = "cut\nTERMS AND CONDITIONS apply\n" + TEXT
    assert beginning("ROMEO:", TEXT, held_out, FREQUENCIES, tokenizer) == "is plain"


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [("one line without an end of any kind", "one line wit"), ("1 2 3\n4 5 6\n", "1 2 3\n4 5 6"), (" ", "Ay")],
)
def test_a_text_without_lines(held_out: str, expected: str, tokenizer: Tokenizer) -> None:
    assert beginning("Ay", "", held_out, FREQUENCIES, tokenizer) == expected
