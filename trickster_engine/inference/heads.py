"""What an attention head does, measured by where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.inference.activations import capture
from trickster_engine.model.llama import Llama

#: A label needs so much of the way from what even attention would score to 1.
LABEL_FROM = 0.4
#: Tokens of the random string that is repeated; and the fewest of which anything can be said.
_REPEATED, _FEWEST = 64, 4
_PROBE_SEED = 0
BEHAVIOURS = ("current", "previous", "first", "same", "line_start", "induction")


@dataclass(frozen=True)
class HeadScores:
    """Mean attention of one head to each kind of token, 0 to 1; None where the text has none such. Entropy in nats."""

    layer: int
    head: int
    label: str | None
    current: float | None
    previous: float | None
    first: float | None
    same: float | None
    line_start: float | None
    induction: float | None
    entropy: float


@dataclass(frozen=True)
class Probe:
    """A string of random tokens, twice, as a model reads it."""

    induction: Tensor  # [L, H]: attention to the token after the same one's first time
    even: float  # what even attention would score there
    first: float  # mean loss on its tokens the first time, in nats
    second: float  # and the second time: who looks back to the first time knows them


def targets(ids: Sequence[int], breaks: Sequence[bool]) -> dict[str, Tensor]:
    """For each behaviour that a text shows, which tokens [T, T] (row looks at column) belong to it.

    `breaks` says which tokens hold a line break. What two behaviours would share is in none: a token just before is no
    first one, no same one and no line start.
    """
    length = len(ids)
    token = torch.tensor(list(ids))
    row, column = torch.arange(length)[:, None], torch.arange(length)[None]
    earlier = column < row - 1
    position = torch.arange(length)
    ended = torch.where(torch.tensor(list(breaks)), position, -1).cummax(dim=0).values
    last_break = torch.cat((torch.tensor([-1]), ended[:-1]))[:, None]  # before each token
    starts = ((column == last_break) | (column == last_break + 1)) & (last_break >= 0)
    return {
        "current": (column == row) & (row > 0),
        "previous": (column == row - 1) & (row > 1),
        "first": (column == 0) & (row > 1),
        "same": (token[:, None] == token[None]) & earlier,
        "line_start": starts & (row > last_break + 2) & earlier,
    }


def induction_targets(length: int) -> Tensor:
    """For a random string twice, [2N, 2N]: from its second time on, the token after the same one's first time."""
    half = length // 2
    row, column = torch.arange(length)[:, None], torch.arange(length)[None]
    return (column == row - half + 1) & (row >= half)


def score(attention: Tensor, wanted: Tensor) -> tuple[Tensor, float]:
    """The mean attention [H] of weights [H, T, T] to what is wanted [T, T], and what even attention would come to.

    Over the rows that have something wanted: at least one.
    """
    rows = wanted.any(dim=1)
    mass = (attention * wanted).sum(dim=-1)[:, rows].mean(dim=-1)
    even = wanted.sum(dim=-1) / torch.arange(1, len(wanted) + 1)
    return mass, float(even[rows].mean())


def probe(model: Llama, tokenizer: Tokenizer) -> Probe | None:
    """How a model reads a repeated random string; None where its context or its vocabulary is too small for one.

    The tokens are all different, so that each is a matter of memory alone. Drawn with a fixed seed.
    """
    known = printable(tokenizer)
    half = min(model.config.max_seq_len // 2, _REPEATED, len(known))
    if half < _FEWEST:
        return None
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(_PROBE_SEED))[:half]
    ids = [known[int(index)] for index in order] * 2
    found = capture(model, ids)
    scores = [score(weights, induction_targets(2 * half)) for weights in found.attention.cpu()]
    losses = torch.nn.functional.cross_entropy(
        found.logits[:-1, : tokenizer.vocab_size], found.tokens[1:], reduction="none"
    )
    return Probe(
        torch.stack([each for each, _ in scores]),
        scores[0][1],
        float(losses[: half - 1].mean()),
        float(losses[half:].mean()),
    )


def head_scores(attention: Tensor, wanted: dict[str, Tensor], repeated: Probe | None) -> list[HeadScores]:
    """The scores of every head, from its weights [L, H, T, T] on a text and from what it does on a random string."""
    shown = {name: which for name, which in wanted.items() if bool(which.any())}
    found = []
    for layer, weights in enumerate(attention.cpu()):
        measured = {name: score(weights, which) for name, which in shown.items()}
        if repeated is not None:
            measured["induction"] = repeated.induction[layer], repeated.even
        entropy = torch.special.entr(weights).sum(dim=-1).mean(dim=-1)
        for head in range(len(weights)):
            values = {name: (float(mass[head]), even) for name, (mass, even) in measured.items()}
            scores = {name: values[name][0] if name in values else None for name in BEHAVIOURS}
            found.append(HeadScores(layer, head, _label(values), **scores, entropy=float(entropy[head])))
    return found


def _label(values: dict[str, tuple[float, float]]) -> str | None:
    """The behaviour that stands out most above what even attention would score; None where none stands out."""
    clear = {name: (mass - even) / (1 - even) for name, (mass, even) in values.items() if even < 1}
    best = max(clear, key=lambda name: clear[name], default=None)
    return best if best is not None and clear[best] >= LABEL_FROM else None


def printable(tokenizer: Tokenizer, spaces: str = "") -> list[int]:
    """The tokens that are whole printable characters, or some white space; not what only a tokenizer knows."""
    special = {tokenizer.library.token_to_id(token) for token in tokenizer.special_tokens.values()}
    found = []
    for index, piece in enumerate(tokenizer.token_bytes):
        try:
            text = piece.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if index not in special and text and all(one in spaces or one.isprintable() for one in text):
            found.append(index)
    return found
