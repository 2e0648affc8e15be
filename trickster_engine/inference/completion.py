"""Completing a text while somebody types it: what was read for one key is kept for the next."""

from __future__ import annotations

import codecs
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile

import torch
from torch import Tensor

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.inference.decoding import rounded, token_reader
from trickster_engine.inference.sampling import require_numbers
from trickster_engine.model.llama import KeyValueCache, Llama

#: From so many tokens on, reading them together in an empty cache takes less than one after the other.
_READ_TOGETHER = 24
#: After so many of the last tokens the logits are kept: what was offered is then not computed again.
_REMEMBERED = 64
#: Characters of a text that are encoded, for each token that the model sees.
_CHARACTERS_A_TOKEN = 8


@dataclass(frozen=True)
class Rules:
    """How much is offered. A completion ends where the belief that all of it is right would fall below `confidence`."""

    confidence: float = 0.2
    most_tokens: int = 32
    one_line: bool = True


def offered(pieces: Iterable[tuple[bytes, float]], rules: Rules) -> str:
    """The text of the likeliest pieces, each with its probability after those before it, as far as the rules allow."""
    belief, text = 1.0, b""
    for piece, probability in islice(pieces, rules.most_tokens):
        belief *= probability
        if belief < rules.confidence:
            break
        text += piece
        if rules.one_line and b"\n" in piece:
            text = text[: text.index(b"\n")].removesuffix(b"\r")
            break
    try:  # a character of which the last bytes are still missing is left out
        whole = codecs.getincrementaldecoder("utf-8")("strict").decode(text, final=False)
    except UnicodeDecodeError as error:
        whole = text[: error.start].decode("utf-8")
    return whole if len(whole) > 1 else ""  # to take one character over saves no key


class Completer:
    """One model that completes texts. Of two texts that begin alike, the second costs only what is new in it."""

    def __init__(self, model: Llama, tokenizer: Tokenizer) -> None:
        self._model = whole = rounded(model.eval())
        self._tokenizer = tokenizer
        self._cache = KeyValueCache(whole.config, 1, whole.device, whole.model.embed_tokens.weight.dtype)
        with torch.no_grad():
            self._reader = token_reader(whole, self._cache, in_bf16=whole is not model)
        self._held: list[int] = []  # the tokens that the cache holds
        self._after: list[Tensor | None] = []  # the logits [1, V] after each of them, where they are known
        self._used = 0  # how many of them the text has that is completed now

    def complete(
        self,
        before: str,
        rules: Rules,
        should_stop: Callable[[], bool] = lambda: False,
        *,
        from_beginning: bool = True,
    ) -> str:
        """What the model would go on with after `before`; nothing where it cannot tell. Raises TricksterError.

        `from_beginning`: a document begins where `before` does.
        """
        ids = self._known_part(before, from_beginning)
        if not ids:
            return ""
        with torch.no_grad():
            return offered(self._pieces(ids, rules, should_stop), rules)

    def _known_part(self, before: str, from_beginning: bool) -> list[int]:
        """The end of a text as tokens, back to the last character that the tokenizer does not know.

        Where it begins moves in large steps, so that the tokens of two texts that begin alike are alike as well.
        """
        most = self._model.config.max_seq_len * (1 if self._tokenizer.kind in ("byte", "char") else _CHARACTERS_A_TOKEN)
        start = (len(before) // most - 1) * most if len(before) > 2 * most else 0
        text = before[start:]
        if unknown := self._tokenizer.unknown_characters(text):
            text = text[1 + max(text.rindex(character) for character in unknown) :]
        ids = [int(token) for token in self._tokenizer.encode(text)]
        first = self._tokenizer.begin_id if from_beginning and text == before else None
        return [first, *ids] if ids and first is not None else ids

    def _pieces(self, ids: list[int], rules: Rules, should_stop: Callable[[], bool]) -> Iterator[tuple[bytes, float]]:
        """The likeliest tokens one after the other, as bytes, each with its probability."""
        begun = b""
        if len(ids) > 1 and self._tokenizer.kind not in ("byte", "char"):
            # The last token may be the beginning of a longer one, which the text would have had in its place.
            begun = self._bytes[ids[-1]]
            ids = ids[:-1]
        limit = self._model.config.max_seq_len
        room, step = min(rules.most_tokens, limit // 4), limit // 2
        beyond = max(0, len(ids) + room - limit)
        if should_stop():
            return
        logits = self._read(ids[-(-beyond // step) * step :] if beyond else ids)
        token = -1
        for number in range(room):
            if number:
                logits = self._read_one(token)
            probabilities = require_numbers(logits[:, : self._tokenizer.vocab_size]).softmax(dim=-1)[0]
            if begun:
                allowed = self._beginning_with(begun)
                probabilities = probabilities * allowed / (probabilities * allowed).sum().clamp_min(1e-30)
            token = int(probabilities.argmax())
            if token in self._special:
                return
            yield self._bytes[token][len(begun) :], float(probabilities[token])
            begun = b""
            if should_stop() or self._used == limit:
                return

    def _read(self, ids: list[int]) -> Tensor:
        """The logits [1, V] after some tokens, of which those that the cache begins with are not read again."""
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._held, ids, strict=False)))
        if same == len(ids) and (known := self._after[same - 1]) is not None:
            self._used = same
            return known
        same = min(same, len(ids) - 1)
        if len(ids) - same >= _READ_TOGETHER:
            self._cache.length, self._used = 0, len(ids)
            logits = self._reader(torch.tensor([ids]))
            self._held, self._after = list(ids), [*[None] * (len(ids) - 1), logits]
            return logits
        self._used = same
        for token in ids[same:]:
            logits = self._read_one(token)
        return logits

    def _read_one(self, token: int) -> Tensor:
        """The logits [1, V] after one more token: known already, if it is what was offered for an earlier key."""
        place, self._used = self._used, self._used + 1
        if place < len(self._held) and self._held[place] == token and (known := self._after[place]) is not None:
            return known
        self._cache.length = place
        logits = self._reader(torch.tensor([[token]]))
        self._held[place:], self._after[place:] = [token], [logits]
        if place >= _REMEMBERED:
            self._after[place - _REMEMBERED] = None
        return logits

    def _beginning_with(self, begun: bytes) -> Tensor:
        """Which tokens begin with these bytes, as ones and zeros [V]."""
        allowed = torch.zeros(self._tokenizer.vocab_size)
        first = bisect_left(self._sorted, (begun, 0))
        for piece, token in islice(self._sorted, first, None):
            if not piece.startswith(begun):
                break
            allowed[token] = 1
        return allowed

    @cached_property
    def _sorted(self) -> list[tuple[bytes, int]]:
        return sorted((piece, token) for token, piece in enumerate(self._bytes))

    @cached_property
    def _bytes(self) -> list[bytes]:
        return self._tokenizer.token_bytes

    @cached_property
    def _special(self) -> frozenset[int | None]:
        spelt = self._tokenizer.special_tokens.values()
        return frozenset(self._tokenizer.library.token_to_id(token) for token in spelt)
