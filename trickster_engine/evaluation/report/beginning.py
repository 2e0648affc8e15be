"""What a report lets a model go on from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from trickster_engine.data.tokenizer import Tokenizer

#: The first words of a line that begins with a letter, at least eight characters and no half word.
_LINE = re.compile(r"\n([^\W\d_][^\n]{6,24}?[^\W_])(?=[\s.,;:!?])")
#: Lines of validation text that are looked at.
_LINES = 500
#: Characters of validation text where there is no such line.
_SHORT = 12


def beginning(
    prompt: str, training_text: str, held_out: str, frequencies: Mapping[str, float], tokenizer: Tokenizer
) -> str:
    """The config's prompt, or the first words of a line of validation text where the corpus never has that prompt.

    From words that it has never met a model goes astray, which says little about what it has learned. Of the lines
    the most ordinary one is taken: that whose characters are the most common by their `frequencies`, so that a heading
    does not stand for the whole text.
    """
    if prompt.strip() in training_text or prompt.strip() in held_out:
        return prompt
    lines = [found[1] for found, _ in zip(_LINE.finditer(held_out), range(_LINES), strict=False)]
    known = [
        words for words in lines or [held_out.strip()[:_SHORT]] if words and not tokenizer.unknown_characters(words)
    ]

    def ordinary(words: str) -> float:
        return sum(math.log(frequencies.get(character, 1e-9)) for character in words) / len(words)

    return max(known, key=ordinary, default=prompt)
