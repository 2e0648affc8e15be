"""Ids to text as they arrive, one at a time."""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from tokenizers.decoders import DecodeStream

from trickster_engine.errors import TricksterError

if TYPE_CHECKING:
    from trickster_engine.data.tokenizer import Tokenizer

NO_BYTES = b"\xff"  # shown for an id that no token has: never part of UTF-8, so it decodes to one U+FFFD


class StreamDecoder(Protocol):
    """Turns ids into text as they arrive; all that it returns, joined, is what `Tokenizer.decode` makes of them all."""

    def feed(self, index: int) -> str:
        """Return the text that this id completes, perhaps none."""

    def finish(self) -> str:
        """Return what is left: U+FFFD for a character that never became whole."""


class _ByteStream:
    """For ids that stand for bytes; a character spread over several ids appears once it is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._table = tokenizer.token_bytes
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, index: int) -> str:
        known = 0 <= index < len(self._table)
        return self._utf8.decode(self._table[index] if known else NO_BYTES)

    def finish(self) -> str:
        return self._utf8.decode(b"", final=True)


class _LibraryStream:
    """For tokenizers made elsewhere, whose decoder alone knows what their tokens stand for."""

    def __init__(self, tokenizer: Tokenizer, context: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=False)
        self._ids = list(context)
        self._waiting = list(context)
        self._given = tokenizer.decode(context)
        self._past = len(self._given)  # characters of the context, which are not given out
        self._lost = False

    def feed(self, index: int) -> str:
        self._ids.append(index)
        self._waiting.append(index)
        if self._lost or self._tokenizer.is_half_done(index):
            return ""  # whether a run of bytes is text, its last one decides
        waiting, self._waiting = self._waiting, []
        try:
            with panics_in_words():
                piece = self._stream.step(self._tokenizer.library, waiting) or ""
        except TricksterError:
            raise
        except Exception:  # bare from the library, where more ids change text that has been given
            self._lost = True
            return ""
        past, self._past = self._past, max(0, self._past - len(piece))
        self._given += piece[past:]
        return piece[past:]

    def finish(self) -> str:
        return added(self._tokenizer.decode(self._ids), self._given)


def stream_decoder(tokenizer: Tokenizer, context: Sequence[int]) -> StreamDecoder:
    """Return a decoder for ids that follow those of `context`."""
    return _LibraryStream(tokenizer, context) if tokenizer.kind == "other" else _ByteStream(tokenizer)


def added(whole: str, before: str) -> str:
    """Return what `whole` says behind `before`, from the first character on in which they differ."""
    if whole.startswith(before):
        return whole[len(before) :]
    pairs = enumerate(zip(whole, before, strict=False))
    return whole[next((at for at, (one, other) in pairs if one != other), len(whole)) :]


@contextlib.contextmanager
def panics_in_words() -> Iterator[None]:
    """The library's own failures are no Exception, and would pass through every handler and end the program.

    A pattern that goes back and forth without end on some text is given up by the library, in this way too.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TricksterError(
            "tokenizer-damaged",
            f"The tokenizer cannot encode this text: {error}.",
            "Use the tokenizer.json that the model was published with, or another model.",
        ) from error
