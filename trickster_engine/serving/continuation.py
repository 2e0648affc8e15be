"""One text that a model goes on with, and the pieces that a client gets of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.inference.sampling import SamplingOptions
from trickster_engine.serving.requests import Prompt

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class TokenChance:
    """A token, where its text begins in the answer, its log-probability, and those of the likeliest in its place."""

    token: str
    offset: int
    logprob: float | None
    top: dict[str, float] | None


@dataclass
class Piece:
    """Text that is ready, with its tokens where they are wanted; `finish` says why it is the last one."""

    text: str = ""
    chances: list[TokenChance] = field(default_factory=list)
    finish: Finish | None = None

    def extend(self, other: Piece) -> None:
        """Take up the piece after this one."""
        self.text += other.text
        self.chances += other.chances
        self.finish = other.finish


class Continuation:
    """A prompt and what has been drawn after it.

    The window that the model sees moves as in `inference/sampling.py`: when it is full, the later half of it is read
    again.
    """

    def __init__(
        self,
        prompt: Prompt,
        options: SamplingOptions,
        most: int,
        stops: tuple[str, ...],
        tokenizer: Tokenizer,
        context: int,
        logprobs: int | None = None,
        echo: bool = False,
    ) -> None:
        self.options = options
        self.generator = torch.Generator().manual_seed(options.seed)
        self.count = 0
        self.finish: Finish | None = None if most else "length"
        self.logprobs = logprobs
        #: Whether the prompt's own log-probabilities are wanted.
        self.scores_prompt = echo and logprobs is not None
        self._prompt, self._echo = prompt, echo
        self._most, self._stops = most, stops
        self._tokenizer, self._context = tokenizer, context
        self._window = prompt.ids[-context:]
        self._decoder = tokenizer.stream_decoder(prompt.ids)
        self._ready = Piece(finish=self.finish)
        self._held = ""  # text that may be the beginning of a stop string
        self._given = 0  # characters that the client has, or gets with what is ready
        self._waiting: list[TokenChance] = []  # tokens of which the text is held

    @property
    def last(self) -> int:
        """The token that the model has not read yet."""
        return self._window[-1]

    @property
    def to_read(self) -> int:
        """How many tokens `begin` will ask to be read, and one more."""
        return len(self._window)

    def begin(self) -> list[int]:
        """What the model reads of the prompt before the last token; the first piece may be taken after it."""
        if self._echo:
            self._ready.text = self._prompt.text
            self._given = len(self._prompt.text)
        return self._window[:-1]

    def score_prompt(self, logits: Tensor) -> None:
        """Keep the prompt's log-probabilities, by the logits [T - 1, V] after each of its tokens but the last."""
        assert self.logprobs is not None
        chances = logits.float().log_softmax(dim=-1).cpu()
        text, offset = self._tokenizer.stream_decoder(), 0
        for place, token in enumerate(self._prompt.ids):
            if place >= self._prompt.unseen:
                self._ready.chances.append(self._chance(token, offset, chances[place - 1] if place else None))
                offset += len(text.feed(token))

    def slide(self) -> list[int] | None:
        """Where the window is full: move it, and return what the model reads again of it before the last token."""
        if len(self._window) <= self._context:
            return None
        self._window = self._window[-(self._context // 2 + 1) :]
        return self._window[:-1]

    def feed(self, token: int, logits: Tensor) -> None:
        """Go on with a token that was drawn from these logits [V]."""
        if token == self._tokenizer.end_id:
            self._end("stop")
            return
        self.count += 1
        self._window.append(token)
        if self.logprobs is not None:
            offset = self._given + len(self._held)
            self._waiting.append(self._chance(token, offset, logits.log_softmax(dim=-1)))
        self._add(self._decoder.feed(token))
        if self.finish is None and self.count == self._most:
            self._end("length")

    def take(self) -> Piece | None:
        """What has become ready since it was last taken."""
        piece, self._ready = self._ready, Piece(finish=self.finish)
        return piece if piece.text or piece.chances or self.finish else None

    def _end(self, why: Finish) -> None:
        self._add(self._decoder.finish())
        if self.finish is None:
            self._release(len(self._held))
            self._ready.chances += self._waiting
            self.finish = self._ready.finish = why

    def _add(self, text: str) -> None:
        self._held += text
        found = [place for place in (self._held.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self._release(min(found))
            self.finish = self._ready.finish = "stop"
        else:
            self._release(len(self._held) - self._possible_stop())

    def _possible_stop(self) -> int:
        """How many characters at the end of the held text are the beginning of a stop string."""
        longest = 0
        for stop in self._stops:
            for count in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:count]):
                    longest = count
                    break
        return longest

    def _release(self, count: int) -> None:
        """Make the first characters of the held text ready, with the tokens that begin in them."""
        self._ready.text += self._held[:count]
        self._held = self._held[count:]
        self._given += count
        while self._waiting and self._waiting[0].offset < self._given:
            self._ready.chances.append(self._waiting.pop(0))

    def _chance(self, token: int, offset: int, chances: Tensor | None) -> TokenChance:
        if chances is None:
            return TokenChance(self._spelling(token), offset, None, None)
        logprob = float(chances[token])
        likeliest = chances.topk(min(self.logprobs or 0, len(chances)))
        pairs = zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        top = {self._spelling(index): value for index, value in pairs}
        top.setdefault(self._spelling(token), logprob)
        return TokenChance(self._spelling(token), offset, logprob, top)

    def _spelling(self, token: int) -> str:
        r"""A token as text; bytes that are no text of their own as OpenAI writes them, `bytes:\xe2\x80`."""
        piece = self._tokenizer.piece(token)
        if "\ufffd" not in piece:
            return piece
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self._tokenizer.token_bytes[token])
