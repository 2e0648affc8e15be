"""A trained model as a completion, beside counting: what share of the keys either saves on text held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trickster_engine.data.baselines import LONGEST, best_order
from trickster_engine.data.ngram_model import NgramModel
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.keys_saved import KeysSaved, type_again
from trickster_engine.inference.completion import Completer, Rules, offered
from trickster_engine.model.llama import Llama

#: Characters that stand before the cursor when typing begins: nobody completes an empty page.
BEFORE = 1000
#: Bytes of the training text that n-grams are counted on, all of them in memory.
COUNTED_BYTES = 16_000_000
_LONGEST_CHARACTER = 4  # bytes


@dataclass(frozen=True)
class TypingFigures:
    """The same text typed with completions of a model and of the best n-gram model over bytes."""

    characters: int
    confidence: float
    ngram_order: int
    model: KeysSaved
    ngram: KeysSaved

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, with the shares."""
        found = asdict(self)
        for name in ("model", "ngram"):
            figures: KeysSaved = getattr(self, name)
            found[name] |= {"share": figures.share, "precision": figures.precision}
        return found


def measure_typing(
    model: Llama,
    tokenizer: Tokenizer,
    training_text: str,
    text: str,
    characters: int,
    rules: Rules,
    report: Callable[[int], None] = lambda _: None,
) -> TypingFigures:
    """Type the last `characters` of a text again with both, or its later half where that is shorter.

    `report` is told how many characters have been typed, of twice as many.
    """
    begin = min(BEFORE, max(len(text) - characters, len(text) // 2))
    counted = np.frombuffer(training_text.encode("utf-8"), dtype=np.uint8)[:COUNTED_BYTES]
    ngrams = NgramModel(counted, best_order(counted, 256))
    completer = Completer(model, tokenizer)

    def by_model(before: str) -> str:
        report(len(before) - begin)
        return completer.complete(before, rules)

    def by_counting(before: str) -> str:
        report(len(text) - begin + len(before) - begin)
        context = before[-LONGEST * _LONGEST_CHARACTER :].encode("utf-8")
        return offered(_likeliest_bytes(ngrams, context), rules)

    own, counts = type_again(text, by_model, begin), type_again(text, by_counting, begin)
    return TypingFigures(len(text) - begin, rules.confidence, ngrams.order, own, counts)


def _likeliest_bytes(ngrams: NgramModel, context: bytes) -> Iterator[tuple[bytes, float]]:
    while True:
        believed = ngrams.probabilities(context)
        byte = int(believed.argmax())
        yield bytes([byte]), float(believed[byte])
        context += bytes([byte])
