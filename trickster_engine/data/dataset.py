"""A prepared corpus on disk: memory-mapped tokens to train on and to be held out, the tokenizer, and what they are.

A small text is one file a part, `train.bin` and `val.bin`; a large one is many, `train-00000.bin` and so on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import Tokens, even_portions, too_short
from trickster_engine.data.description import (
    FORMAT,
    Description,
    DocumentCounts,
    Part,
    TokenFile,
    read_description,
    write_description,
)
from trickster_engine.data.documents import MARK
from trickster_engine.data.facts import Source
from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.sharded.shards import ShardedTokens
from trickster_engine.data.tokenizer import TOKENIZER_FILE, Tokenizer
from trickster_engine.data.verification import Tick, Verification
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import SMALL_FILE_BYTES, create_file, open_plain, read_bytes

_BLOCK = 1 << 20  # tokens decoded at a time
_HASHED_BYTES = 1 << 20
_VERIFIED_BYTES = 32 << 20  # up to this size, the content is compared with its sums whenever it is opened
# A longer validation text is represented by this many of its tokens: enough for a loss to the second decimal place, and
# an evaluation takes seconds still.
MEASURED_TOKENS = 1 << 18


@dataclass(frozen=True)
class Dataset:
    """Tokens to train on and tokens held out, with the tokenizer that made them."""

    train: Tokens  # unsigned integers [tokens], memory-mapped, read-only
    val: Tokens  # the same; the part of the corpus after the training part
    tokenizer: Tokenizer
    fingerprint: str  # SHA-256 over both parts and the vocabulary: the same for the same tokens, wherever they lie
    name: str  # as the config names the corpus
    description: str  # one line for people
    train_characters: int
    val_characters: int
    directory: Path
    verification: Verification
    source: Source = field(default_factory=Source)  # which files it was made of
    documents: bool = False  # whether a token ends each document

    @property
    def characters_per_token(self) -> float:
        """Characters a token, over the validation text."""
        return self.val_characters / len(self.val)

    @cached_property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes a token, over the validation tokens that are predicted; turns nats/token into bits/byte.

        A text is the same number of bytes in any tokens. Where nothing but special tokens is predicted, it is 1.
        """
        predicted = self.measured_val[1:]
        return (self.tokenizer.count_bytes(predicted) or len(predicted)) / len(predicted)

    def as_json(self) -> dict[str, Any]:
        """What it is and how large its parts are, as `run.json` keeps it."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "train_tokens": len(self.train),
            "val_tokens": len(self.val),
            "train_characters": self.train_characters,
            "val_characters": self.val_characters,
            "bytes_per_token": self.bytes_per_token,
        }

    @property
    def measured_val(self) -> npt.NDArray[Any]:
        """The validation tokens that losses are measured on, [tokens]: all of them, or even portions of a long text."""
        return even_portions(self.val, MEASURED_TOKENS)

    def train_text(self, limit: int | None = None) -> str:
        """Return the training text, or its first `limit` characters; a line end where a document ends."""
        return self._text(self.train, limit)

    def val_text(self, limit: int | None = None) -> str:
        """Return the validation text, or its first `limit` characters; a line end where a document ends."""
        return self._text(self.val, limit)

    def text_chunks(self, tokens: Tokens) -> Iterator[str]:
        """Yield the text of tokens in pieces, with MARK where a document ends."""
        blocks = (tokens[start : start + _BLOCK] for start in range(0, len(tokens), _BLOCK))
        return self.tokenizer.decode_stream(blocks, documents=self.documents)

    def _text(self, tokens: Tokens, limit: int | None) -> str:
        pieces: list[str] = []
        length = 0
        for piece in self.text_chunks(tokens):
            pieces.append(piece)
            length += len(piece)
            if limit is not None and length >= limit:
                break
        return "".join(pieces)[:limit].replace(MARK, "\n")


@dataclass(frozen=True)
class Labels:
    """What a dataset is called. Not stored with it: the same content can lie in two places under two names."""

    name: str
    title: str
    source: Source = field(default_factory=Source)


def write_dataset(
    directory: Path,
    tokenizer: Tokenizer,
    train: Iterable[npt.NDArray[Any]],
    val: Iterable[npt.NDArray[Any]],
    documents: DocumentCounts | None = None,
) -> None:
    """Write a dataset into an empty folder; `train` is consumed before `val` is begun. Raises OSError.

    The arrays are written as a stream and not through a memory map, so that a full disk is an error here and not a
    crash there.
    """
    dtype = storage_type(tokenizer.vocab_size)
    digest = _fingerprint_of(tokenizer)
    parts: dict[str, Part] = {}
    for part, blocks in (("train", train), ("val", val)):
        tokens = characters = 0
        with create_file(directory / f"{part}.bin") as stream:
            for block in blocks:
                compact = np.ascontiguousarray(block, dtype=dtype)
                stream.write(compact.data)
                digest.update(compact.data)
                tokens += len(compact)
                characters += tokenizer.count_characters(compact, documents=documents is not None)
        digest.update(f" {part} {tokens}".encode())
        parts[part] = Part(tokens, characters)
        if tokens < 2:
            raise too_short(tokens, 1, "training" if part == "train" else "validation")
    _finish(directory, tokenizer, digest.hexdigest(), parts, documents)


def finish_sharded_dataset(
    directory: Path,
    tokenizer: Tokenizer,
    parts: Mapping[str, Sequence[TokenFile]],
    documents: DocumentCounts | None = None,
) -> None:
    """Make a dataset of a folder that already holds its tokens, in files in order for each part. Raises OSError."""
    described: dict[str, Part] = {}
    for part in ("train", "val"):
        files = tuple(parts[part])
        tokens, characters = sum(file.tokens for file in files), sum(file.characters for file in files)
        if tokens < 2:
            raise too_short(tokens, 1, "training" if part == "train" else "validation")
        described[part] = Part(tokens, characters, files)
    _finish(directory, tokenizer, _fingerprint_of_files(tokenizer, described), described, documents)


def _finish(
    directory: Path,
    tokenizer: Tokenizer,
    fingerprint: str,
    parts: Mapping[str, Part],
    documents: DocumentCounts | None,
) -> None:
    tokenizer.save(directory)
    dtype = storage_type(tokenizer.vocab_size).name
    description = Description(dtype, fingerprint, _sum_of_tokenizer(directory), parts["train"], parts["val"], documents)
    write_description(directory, description)


def open_dataset(directory: Path, labels: Labels) -> Dataset | None:
    """Open a prepared folder; None when there is none, or when it is not whole.

    Sizes and everything small are always checked. The tokens are as well where that takes no time to speak of; the
    rest is left to the dataset's `verification`.
    """
    try:
        if not directory.is_dir() or directory.is_symlink():
            return None
        description = read_description(directory)
        if description.tokenizer_sha256 not in (None, _sum_of_tokenizer(directory)):
            return None
        tokenizer = load_tokenizer(directory)
        if description.dtype != storage_type(tokenizer.vocab_size).name:
            return None
        parts = {"train": description.train, "val": description.val}
        if description.train.files and description.fingerprint != _fingerprint_of_files(tokenizer, parts):
            return None
        size = description.bytes
        train, val = (_open_part(directory, part, parts[part], np.dtype(description.dtype)) for part in parts)

        def check(tick: Tick) -> str | None:
            return _damage(directory, description, tokenizer, tick)

        # A description of before there were sums in it is trusted with nothing until the content has confirmed it.
        checked = size <= _VERIFIED_BYTES or description.tokenizer_sha256 is None
        if checked and check(lambda count: None) is not None:
            return None
        if description.tokenizer_sha256 is None:
            with contextlib.suppress(OSError):  # a shared cache may be read-only
                write_description(directory, replace(description, tokenizer_sha256=_sum_of_tokenizer(directory)))
    except (OSError, ValueError, TricksterError):
        return None
    train_characters, val_characters = description.train.characters, description.val.characters
    return Dataset(
        train=train,
        val=val,
        tokenizer=tokenizer,
        fingerprint=description.fingerprint,
        name=labels.name,
        description=f"{labels.title}: {train_characters:,} training characters, {val_characters:,} validation "
        f"characters; {tokenizer.kind} tokenizer, {tokenizer.vocab_size:,} ids",
        train_characters=train_characters,
        val_characters=val_characters,
        directory=directory,
        verification=Verification(directory, size, None if checked else check),
        source=labels.source,
        documents=description.documents is not None,
    )


def _open_part(directory: Path, name: str, part: Part, dtype: np.dtype[Any]) -> npt.NDArray[Any] | ShardedTokens:
    """Map the tokens of one part. Raises OSError, and ValueError where a file has the wrong length."""
    if part.files:
        tokens = ShardedTokens([directory / file.name for file in part.files], dtype)
        if tokens.lengths != [file.tokens for file in part.files]:
            raise ValueError("a file has the wrong length")
        return tokens
    with open_plain(directory / f"{name}.bin") as stream:
        if os.fstat(stream.fileno()).st_size != part.tokens * dtype.itemsize:
            raise ValueError("a file has the wrong length")
        return np.memmap(stream, dtype=dtype, mode="r", shape=(part.tokens,))


def _damage(directory: Path, description: Description, tokenizer: Tokenizer, tick: Tick) -> str | None:
    """Read all tokens and say what is not as it was written; None where everything is. Raises OSError."""
    dtype = np.dtype(description.dtype)
    fingerprint = _fingerprint_of(tokenizer)
    documents = description.documents is not None
    for name, part in (("train", description.train), ("val", description.val)):
        characters = 0
        for file in part.files or (TokenFile(f"{name}.bin", part.tokens, part.characters, ""),):
            digest = hashlib.sha256()
            with open_plain(directory / file.name) as stream:
                while block := stream.read(_HASHED_BYTES):
                    (digest if part.files else fingerprint).update(block)
                    try:
                        characters += tokenizer.count_characters(np.frombuffer(block, dtype), documents=documents)
                    except (ValueError, IndexError):  # half a token, or one that there is not
                        return f"the checksum of {file.name} differs"
                    tick(len(block))
            if part.files and digest.hexdigest() != file.sha256:
                return f"the checksum of {file.name} differs"
        fingerprint.update(f" {name} {part.tokens}".encode())
        if not part.files and name == "val" and fingerprint.hexdigest() != description.fingerprint:
            return "the checksum of its tokens differs"
        if characters != part.characters:
            return f"its {'training' if name == 'train' else 'validation'} text has {characters:,} characters"
    return None


def _sum_of_tokenizer(directory: Path) -> str:
    return hashlib.sha256(read_bytes(directory / TOKENIZER_FILE, SMALL_FILE_BYTES)).hexdigest()


def _fingerprint_of(tokenizer: Tokenizer) -> hashlib._Hash:
    """Begin a fingerprint; the tokens follow."""
    return hashlib.sha256(f"trickster-dataset-{FORMAT} {tokenizer.digest}".encode())


def _fingerprint_of_files(tokenizer: Tokenizer, parts: Mapping[str, Part]) -> str:
    digest = _fingerprint_of(tokenizer)
    for name, part in parts.items():
        for file in part.files:
            digest.update(f"{file.sha256} {file.tokens} ".encode())
        digest.update(f" {name} {part.tokens}".encode())
    return digest.hexdigest()


def storage_type(vocab_size: int) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds every id."""
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)
