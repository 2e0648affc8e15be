"""What a model finds hard: which characters, in which places, how far into its context."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import validation_windows
from trickster_engine.data.dataset import Dataset
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.evaluation.compare import token_losses
from trickster_engine.model.llama import Llama
from trickster_engine.system.printable import printable_text

#: Validation tokens that are looked at.
LOOKED_AT = 32_768
_TOKENS_AT_ONCE = 4096
_EXCERPT = 420  # tokens
#: Rarer than this, a mean says little.
_LEAST = 12


@dataclass(frozen=True)
class Hardness:
    """A kind of token or place. `nats` is the mean loss there, `share` its part of the whole loss, 0..1."""

    what: str
    count: int
    nats: float
    share: float


@dataclass(frozen=True)
class Difficulty:
    """Losses in nats/token, on the beginning of the validation text."""

    tokens: int  # the first of the validation text
    of: int  # tokens of validation text in all
    mean: float
    characters: list[Hardness]  # hardest first
    easiest: list[Hardness]  # easiest first
    places: list[Hardness]  # hardest first
    contexts: list[Hardness]  # by their share of the loss
    positions: list[tuple[int, float]]  # tokens of context seen, and the mean loss from there on
    excerpt: list[tuple[str, float]]  # validation text, piece by piece, with the loss of each


def find_difficulty(model: Llama, tokenizer: Tokenizer, dataset: Dataset) -> Difficulty:
    """Judge the model token by token on the beginning of the validation text."""
    tokens = np.asarray(dataset.val[: LOOKED_AT + 1], dtype=np.int64)
    losses = _token_losses(model, tokens)
    targets = tokens[1:].tolist()
    pieces = [_shown(tokenizer, token) for token in range(tokenizer.vocab_size)]
    values = losses.tolist()
    texts = [pieces[token] for token in targets]
    before = [pieces[token] for token in tokens[:-1].tolist()]
    characters = _grouped(targets, values, lambda token: _quoted(pieces[token]))
    places = _grouped([_place(one, other) for one, other in zip(before, texts, strict=True)], values, str)
    earlier = ["", *before[:-1]]
    contexts = _grouped(list(zip(earlier, before, strict=True)), values, lambda pair: _quoted("".join(pair)))
    common = [row for row in characters if row.count >= _LEAST]
    start = min(model.config.max_seq_len, max(0, len(targets) - _EXCERPT))
    return Difficulty(
        tokens=len(targets),
        of=len(dataset.val) - 1,  # nothing comes before the first
        mean=float(losses.mean()),
        characters=sorted(common, key=lambda row: -row.nats),
        easiest=sorted(common, key=lambda row: row.nats),
        places=sorted(places, key=lambda row: -row.nats),
        contexts=sorted((row for row in contexts if row.count >= _LEAST), key=lambda row: -row.share),
        positions=_by_position(losses, model.config.max_seq_len),
        excerpt=list(zip(texts[start : start + _EXCERPT], values[start : start + _EXCERPT], strict=True)),
    )


def _token_losses(model: Llama, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The loss of every token but the first, [N - 1], window by window as in training."""
    length = model.config.max_seq_len
    batches = validation_windows(tokens, length, max(1, _TOKENS_AT_ONCE // length))
    return np.concatenate([token_losses(model, inputs, targets).flatten() for inputs, targets in batches])


def _by_position(losses: npt.NDArray[np.float64], length: int) -> list[tuple[int, float]]:
    """The mean loss after 0, 1, 2, 4, 8 … tokens of context."""
    places = np.arange(len(losses)) % length
    edges = [0, 1]
    while edges[-1] * 2 < length:
        edges.append(edges[-1] * 2)
    means = []
    for low, high in zip(edges, [*edges[1:], length], strict=True):
        there = losses[(places >= low) & (places < high)]
        if len(there):
            means.append((low, float(there.mean())))
    return means


def _grouped(keys: Sequence[Hashable], losses: Sequence[float], name: Callable[..., str]) -> list[Hardness]:
    sums: dict[Hashable, float] = defaultdict(float)
    counts: dict[Hashable, int] = defaultdict(int)
    for key, loss in zip(keys, losses, strict=True):
        sums[key] += loss
        counts[key] += 1
    whole = sum(sums.values()) or 1.0
    return [Hardness(name(key), counts[key], total / counts[key], total / whole) for key, total in sums.items()]


def _place(before: str, piece: str) -> str:
    """Where in the text a token stands, in words."""
    first, last = piece[:1], before[-1:]
    if first.isspace() and piece.strip() == "":
        return "space or end of line"
    if first.isspace() or (first.isalpha() and last.isspace() and last != "\n"):
        return "start of a word"
    if first.isalpha():
        return "start of a line" if last == "\n" else "inside a word" if last.isalpha() else "after punctuation"
    if first.isdigit():
        return "digit"
    return "punctuation"


def _shown(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.piece(token)


def _quoted(text: str) -> str:
    """A character or two so that spaces and line ends can be seen."""
    looks = {" ": "\N{OPEN BOX}", "\n": "\N{RETURN SYMBOL}", "\t": "\N{RIGHTWARDS ARROW TO BAR}"}
    return "".join(looks.get(character, character) for character in printable_text(text))
