"""Text to token ids and back: byte, char and BPE, each of them a real `tokenizers` tokenizer.

What is saved is a plain `tokenizer.json` that `transformers.AutoTokenizer` opens. Byte and char have numpy short cuts
for encoding, and these three decode through one table of bytes; the tests hold both equal to the library. A tokenizer
made elsewhere is decoded by the library itself, whole or as a stream.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers import pre_tokenizers

from trickster_engine.data.documents import MARK
from trickster_engine.data.token_streams import (
    NO_BYTES,
    StreamDecoder,
    added,
    panics_in_words,
    stream_decoder,
)
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import write_text_atomically

TokenizerKind = Literal["byte", "char", "bpe", "other"]
Ids = npt.NDArray[np.int64]
#: Where the beginning of a text may be cut, in characters; 0 for nowhere.
CutInWord = Callable[[str], int]

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
_BYTES = 256
_METASPACE = "\u2581"  # what SentencePiece writes for a space
_BYTE_FALLBACK = re.compile(r"<0x[0-9A-Fa-f]{2}>")  # one byte of a character that the vocabulary does not have
# BPE encodes pieces of this size. Measured with tokenizers 0.23 on one core: pieces of 1 to 4 thousand characters take
# two thirds of the time of 32 thousand, and encode_batch takes less than encode_batch_fast.
_PIECE_CHARACTERS = 1 << 11
_LOOK_AHEAD = 4  # characters; what follows a piece decides where it ends, no further than this


def _byte_characters() -> list[str]:
    """Return the character that stands for each byte value in a byte-level vocabulary.

    Printable Latin-1 characters stand for themselves; the other bytes take the code points from 256 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(value) if value in printable else chr(next(others)) for value in range(_BYTES)]


BYTE_CHARACTERS = _byte_characters()
_BYTE_OF_CHARACTER = {character: value for value, character in enumerate(BYTE_CHARACTERS)}


class Tokenizer:
    """A tokenizer of any kind; made or loaded by `make_tokenizer.py`."""

    def __init__(
        self, library: LibraryTokenizer, kind: TokenizerKind, special_tokens: Mapping[str, str] | None = None
    ) -> None:
        self.library = library
        self.kind = kind
        #: What Hugging Face's files call a token by its part, `eos_token`, and how that token is spelt.
        self.special_tokens: Mapping[str, str] = special_tokens or {}

    def __repr__(self) -> str:
        """Return the kind and the size."""
        return f"Tokenizer({self.kind}, {self.vocab_size} ids)"

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The bytes of every id, [vocab_size]; UTF-8 pieces that join to text. Empty for special tokens."""
        table = [NO_BYTES] * self.vocab_size
        byte_level = self.kind in ("byte", "bpe") or "ByteLevel" in self._decoders
        for token, index in self.library.get_vocab(with_added_tokens=True).items():
            if byte_level and all(character in _BYTE_OF_CHARACTER for character in token):
                table[index] = bytes(_BYTE_OF_CHARACTER[character] for character in token)
            elif "ByteFallback" in self._decoders and _BYTE_FALLBACK.fullmatch(token):
                table[index] = bytes([int(token[3:5], 16)])
            else:
                spaced = token.replace(_METASPACE, " ") if self.kind == "other" else token
                table[index] = spaced.encode("utf-8")
        for index, added_token in self.library.get_added_tokens_decoder().items():
            table[index] = added_token.content.encode("utf-8")
        if self.begin_id is not None:  # one character of the text, whatever it is called
            table[self.begin_id] = MARK.encode()
        return table

    @cached_property
    def end_id(self) -> int | None:
        """The id of the token that ends a document; None where there is none."""
        return self.special_ids.get("eos_token_id")

    @property
    def begin_id(self) -> int | None:
        """The id that stands before a document: of our tokenizers the one that ends the document before it, if any."""
        return None if self.kind == "other" else self.end_id

    @cached_property
    def _decoders(self) -> frozenset[str]:
        """The kinds of decoders of a tokenizer made elsewhere; empty for our own."""
        if self.kind != "other":
            return frozenset()
        decoder = json.loads(self.library.to_str()).get("decoder") or {}
        return frozenset(part.get("type") for part in (decoder, *decoder.get("decoders", ())))

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return 1 + max(self.library.get_vocab(with_added_tokens=True).values(), default=-1)

    @cached_property
    def alphabet(self) -> frozenset[str] | None:
        """The characters that can be encoded, or None where all can."""
        if self.kind == "char":
            return frozenset(token for token in self.library.get_vocab() if len(token) == 1)
        return None

    @cached_property
    def _id_of_code_point(self) -> npt.NDArray[np.int32]:
        vocabulary = {token: index for token, index in self.library.get_vocab().items() if len(token) == 1}
        table = np.full(1 + max(map(ord, vocabulary)), -1, dtype=np.int32)
        for character, index in vocabulary.items():
            table[ord(character)] = index
        if self.begin_id is not None:
            table[ord(MARK)] = self.begin_id
        return table

    @cached_property
    def _code_point_of_id(self) -> npt.NDArray[np.uint32] | None:
        vocabulary = self.library.get_vocab(with_added_tokens=False)
        if self.kind != "char" or any(len(token) != 1 for token in vocabulary):
            return None
        table = np.full(self.vocab_size, 0xFFFD, dtype=np.uint32)
        for character, index in vocabulary.items():
            table[index] = ord(character)
        if self.begin_id is not None:
            table[self.begin_id] = ord(MARK)
        return table

    # ---------------------------------------------------------------- text -> ids

    def encode(self, text: str) -> Ids:
        """Encode text to ids, int64 [tokens]. Nothing is added: no start token, no prefix space.

        Raises TricksterError `unknown-characters`, naming them, and `not-text` for lone surrogates.
        """
        if self.kind == "byte":
            return np.frombuffer(_utf8(text), dtype=np.uint8).astype(np.int64)
        if self.kind == "char":
            return self._encode_characters(text)
        _utf8(text)  # the library would fail with a TypeError on a lone surrogate
        with panics_in_words():
            if self.kind == "bpe":
                pieces = list(cut_safely([text], _PIECE_CHARACTERS, self._cut_in_word))
                return np.fromiter(chain.from_iterable(self._ids_of(pieces)), dtype=np.int64)
            return np.asarray(self.library.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    def _encode_characters(self, text: str) -> Ids:
        _utf8(text)
        code_points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        table = self._id_of_code_point
        ids = table[np.minimum(code_points, len(table) - 1)]
        known = (ids >= 0) & (code_points < len(table))
        if not known.all():
            raise self._unknown(text)
        encoded: Ids = ids.astype(np.int64)
        return encoded

    def _ids_of(self, pieces: list[str]) -> Iterator[list[int]]:
        return (encoded.ids for encoded in self.library.encode_batch(pieces, add_special_tokens=False))

    def encode_stream(self, chunks: Iterable[str], *, documents: bool = False) -> Iterator[Ids]:
        """Encode a text that comes in chunks, with the same ids as encoding it in one piece.

        With `documents`, MARK becomes the token that ends one, and nothing else does: not what that token is called.
        Raises what `encode` raises, and TricksterError `tokenizer-without-end`.
        """
        encode = self._encode_documents if documents else self.encode
        for chunk in chunks if self.kind in ("byte", "char") else cut_safely(chunks, cut_in_word=self._cut_in_word):
            yield encode(chunk)

    def _encode_documents(self, text: str) -> Ids:
        if self.end_id is None:
            raise TricksterError(
                "tokenizer-without-end",
                "The tokenizer has no token that ends a document: its tokenizer_config.json names no eos_token.",
                "Use another tokenizer, or remove data_config.documents.",
            )
        if self.kind == "char":
            return self.encode(text)
        if self.kind == "byte":
            ids = self.encode(text)
            ids[ids == ord(MARK)] = self.end_id
            return ids
        _utf8(text)
        first, *others = text.split(MARK)
        pieces = list(cut_safely([first], _PIECE_CHARACTERS, self._cut_in_word))
        ends = [len(pieces)]  # pieces of all documents up to the end of each
        for document in others:
            pieces += cut_safely([document], _PIECE_CHARACTERS, self._cut_in_word) if self.kind == "bpe" else [document]
            ends.append(len(pieces))
        spelt, self.library.encode_special_tokens = self.library.encode_special_tokens, True
        try:
            with panics_in_words():
                encoded = list(self._ids_of(pieces))
        finally:
            self.library.encode_special_tokens = spelt
        lists = (chain.from_iterable(encoded[begin:end]) for begin, end in zip([0, *ends], ends, strict=False))
        first_ids, *other_ids = (list(ids) for ids in lists)
        joined = chain(first_ids, *((self.end_id, *ids) for ids in other_ids))
        return np.fromiter(joined, dtype=np.int64)

    @cached_property
    def _cut_in_word(self) -> CutInWord | None:
        """Where a text without blanks may be cut; None for a tokenizer that reads a word whole, however long."""
        words = self.library.pre_tokenizer
        if self.kind != "bpe" or not isinstance(words, pre_tokenizers.Sequence):
            return None

        def cut(text: str) -> int:
            ends = [end for _, (_, end) in words.pre_tokenize_str(text)]
            return max((end for end in ends if end <= len(text) - _LOOK_AHEAD), default=0)

        return cut

    def unknown_characters(self, text: str) -> list[str]:
        """Return the characters of `text` that cannot be encoded, each once, in the order they appear."""
        if self.alphabet is None:
            return []
        alphabet = self.alphabet
        return list(dict.fromkeys(character for character in text if character not in alphabet))

    def _unknown(self, text: str) -> TricksterError:
        unknown = self.unknown_characters(text)
        shown = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in unknown[:10])
        more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
        return TricksterError(
            "unknown-characters",
            f"The text has characters that the tokenizer does not know: {shown}{more}.",
            f"The tokenizer knows the {len(self.alphabet or ())} characters of its corpus. Use only these: "
            f"{readable_alphabet(self.alphabet or ())}",
        )

    # ---------------------------------------------------------------- ids -> text

    def decode(self, ids: Iterable[int] | npt.NDArray[Any]) -> str:
        """Decode ids [tokens] to text; bytes that are no whole character, and ids without a token, become U+FFFD."""
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), dtype=np.int64).reshape(-1)
        if self.kind == "other":
            with panics_in_words():
                return str(self.library.decode(array.tolist(), skip_special_tokens=False))
        return self.to_bytes(array).decode("utf-8", "replace")

    def to_bytes(self, ids: npt.NDArray[Any], *, documents: bool = False) -> bytes:
        """Return the bytes that ids [tokens] stand for, which may begin or end inside a character.

        With `documents`, MARK is what the token that ends one stands for, also where a tokenizer spells it out.
        """
        inside = ids.size > 0 and int(ids.min()) >= 0
        if self.kind == "byte" and inside and int(ids.max()) < self.vocab_size:
            return np.where(ids < _BYTES, ids, ord(MARK)).astype(np.uint8).tobytes()
        code_points = self._code_point_of_id
        if code_points is not None and inside and int(ids.max()) < len(code_points):
            joined: bytes = code_points[ids].astype("<u4").tobytes()
            return joined.decode("utf-32-le").encode("utf-8")
        table, size = self.token_bytes, self.vocab_size
        if documents and self.end_id is not None:
            table = [*table[: self.end_id], MARK.encode(), *table[self.end_id + 1 :]]
        return b"".join(table[index] if 0 <= index < size else NO_BYTES for index in ids.tolist())

    def count_characters(self, ids: npt.NDArray[Any], *, documents: bool = False) -> int:
        """Return how many characters ids [tokens] stand for, each counted where its first byte is.

        With `documents`, the token that ends one counts as one character, also where a tokenizer spells it out.
        """
        if documents and self.begin_id is None and self.end_id is not None:
            ends = int(np.count_nonzero(ids == self.end_id))
            return self.count_characters(ids) - ends * (int(self._characters_of_id[self.end_id]) - 1)
        if self.kind == "char":
            return len(ids)
        if self.kind == "byte":
            return int(np.count_nonzero((ids & 0xC0) != 0x80))
        return int(self._characters_of_id[ids].sum())

    def count_bytes(self, ids: npt.NDArray[Any]) -> int:
        """Return how many bytes of text ids [tokens] stand for; special tokens stand for none."""
        return len(ids) if self.kind == "byte" and not self.special_tokens else int(self._bytes_of_id[ids].sum())

    @cached_property
    def _bytes_of_id(self) -> npt.NDArray[np.int64]:
        sizes = np.array([len(token) for token in self.token_bytes], dtype=np.int64)
        sizes[list(self.special_ids.values())] = 0
        return sizes

    @cached_property
    def _characters_of_id(self) -> npt.NDArray[np.int64]:
        return np.array([sum(byte & 0xC0 != 0x80 for byte in token) for token in self.token_bytes], dtype=np.int64)

    def decode_stream(self, blocks: Iterable[npt.NDArray[Any]], *, documents: bool = False) -> Iterator[str]:
        """Decode ids that come in blocks, with the same text as decoding them in one piece; `documents` as above."""
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        for block in blocks:
            yield utf8.decode(self.to_bytes(block, documents=documents))
        yield utf8.decode(b"", final=True)

    def decode_after(self, prompt: Sequence[int], ids: Iterable[int]) -> str:
        """Return what ids [tokens] add to the text of a prompt's ids, with the space that they alone would lose."""
        context = self._context(prompt)
        return added(self.decode([*context, *ids]), self.decode(context))

    def decode_documents(self, ids: Iterable[int], prompt: Sequence[int] = ()) -> str:
        """Return what ids [tokens], of which some end documents, add to a prompt's; a line end where one ends."""
        documents: list[list[int]] = [[]]
        for index in ids:
            if index == self.end_id:
                documents.append([])
            else:
                documents[-1].append(index)
        first, *others = documents
        return "\n".join([self.decode_after(prompt, first), *map(self.decode, others)])

    def stream_decoder(self, prompt: Sequence[int] = ()) -> StreamDecoder:
        """Return a decoder for ids that arrive one at a time, behind those of a prompt."""
        return stream_decoder(self, self._context(prompt))

    def piece(self, index: int) -> str:
        """Return what an id adds to a text that has begun; of the one that ends a document, what it is called."""
        if index == self.end_id:
            return self.library.id_to_token(index) or ""
        return self.decode_after([index], [index]) or self.decode([index])

    def _context(self, prompt: Sequence[int]) -> list[int]:
        """Return the ids of a prompt that matter for what the next ones look like."""
        if self.kind != "other":
            return []
        whole = (index for index in reversed(prompt) if "\ufffd" not in self.decode([index]))
        return list(islice((index for index in whole if not self.is_half_done(index)), 1))

    def is_half_done(self, index: int) -> bool:
        """Return whether what a foreign id looks like depends on those around it: a byte, or no token."""
        token = self.library.id_to_token(index)
        return token is None or _BYTE_FALLBACK.fullmatch(token) is not None

    # ---------------------------------------------------------------- files

    def save(self, directory: Path) -> None:
        """Write tokenizer.json and tokenizer_config.json, which `transformers.AutoTokenizer` opens. Raises OSError."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in self.files().items():
            write_text_atomically(directory / name, text)

    def files(self) -> dict[str, str]:
        """Return what `save` writes, file name to content, for a caller that writes by its own rules."""
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            # Decoded text is the text: nothing is tidied, added or stripped.
            "clean_up_tokenization_spaces": False,
            "add_prefix_space": False,
            "add_bos_token": self.begin_id is not None,
            "add_eos_token": False,
            **self.special_tokens,
        }
        return {
            TOKENIZER_FILE: self.library.to_str(pretty=True) + "\n",
            TOKENIZER_CONFIG_FILE: json.dumps(config, indent=2) + "\n",
        }

    @property
    def special_ids(self) -> dict[str, int]:
        """The ids of the special tokens as a model's config.json names them: `eos_token_id`."""
        found = {f"{role}_id": self.library.token_to_id(token) for role, token in self.special_tokens.items()}
        return {name: index for name, index in found.items() if index is not None}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what every id stands for, whatever version of the library saved it."""
        digest = hashlib.sha256(self.kind.encode())
        for token in self.token_bytes:
            digest.update(len(token).to_bytes(4, "little") + token)
        return digest.hexdigest()


def readable_alphabet(characters: Iterable[str]) -> str:
    """Show an alphabet on one line, runs shortened: `a-z`."""
    ordered = sorted(characters)
    parts: list[str] = []
    start = 0
    for position in range(1, len(ordered) + 1):
        if position < len(ordered) and ord(ordered[position]) == ord(ordered[position - 1]) + 1:
            continue
        run = ordered[start:position]
        shown = [repr(character)[1:-1] if not character.isprintable() else character for character in run]
        parts.append(f"{shown[0]}-{shown[-1]}" if len(run) > 3 else " ".join(shown))
        start = position
    return " ".join(part if part != " " else "' '" for part in parts)


def cut_safely(chunks: Iterable[str], size: int = 1 << 20, cut_in_word: CutInWord | None = None) -> Iterator[str]:
    """Cut a text that comes in chunks into pieces of about `size` characters that BPE encodes as it would the whole.

    A piece ends where `_last_safe_cut` allows. A text without any white space is cut where `cut_in_word` says; without
    it, it comes out as one piece.
    """
    held = ""
    for chunk in chunks:
        held += chunk
        start = 0
        while len(held) - start > size:
            cut = _last_safe_cut(held, start, start + size)
            if cut <= start and cut_in_word is not None:
                cut = start + cut_in_word(held[start : start + size])
            if cut <= start:  # a word longer than a piece
                break
            yield held[start:cut]
            start = cut
        held = held[start:]
    if held:
        yield held


def _last_safe_cut(text: str, start: int, stop: int) -> int:
    """Return the last place in (start, stop) where cutting cannot change the tokens, or `start` where there is none.

    It is between something visible and white space: GPT-2's pattern never lets a token run from the one into the
    other, and looks ahead only within white space. Or it is behind the end of a document.
    """
    position = stop
    mark = text.rfind(MARK, start, stop) + 1  # no token runs across the end of a document
    while True:
        position = max(text.rfind(" ", start + 1, position), text.rfind("\n", start + 1, position))
        if position < mark:
            return max(start, mark)
        if position < 0:
            return start
        if not text[position - 1].isspace():
            return position


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TricksterError(
            "not-text",
            f"The text has a lone surrogate (half a character) at position {error.start}.",
            "Type it again, or paste it from a program that handles Unicode.",
        ) from None
