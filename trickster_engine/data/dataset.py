"""A prepared corpus on disk: two memory-mapped token arrays, the tokenizer, and what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import too_short
from trickster_engine.data.tokenizer import Tokenizer, load_tokenizer
from trickster_engine.errors import TricksterError

FORMAT = 1  # part of every key: raise it when the meaning of these files changes
_DESCRIPTION_FILE = "dataset.json"
_BLOCK = 1 << 20  # tokens decoded at a time
_VERIFIED_BYTES = 32 << 20  # up to this size, tokens are compared with their fingerprint at every start


@dataclass(frozen=True)
class Dataset:
    """Tokens to train on and tokens held out, with the tokenizer that made them."""

    train: npt.NDArray[Any]  # unsigned integers [tokens], memory-mapped, read-only
    val: npt.NDArray[Any]  # the same; the part of the corpus after the training part
    tokenizer: Tokenizer
    fingerprint: str  # SHA-256 over both arrays and the vocabulary: the same for the same tokens, wherever they lie
    name: str  # as the config names the corpus
    description: str  # one line for people
    train_characters: int
    val_characters: int
    directory: Path

    @property
    def characters_per_token(self) -> float:
        """Characters a token, over the held-out text; turns nats a token into bits a character."""
        return self.val_characters / len(self.val)

    def train_text(self, limit: int | None = None) -> str:
        """Return the training text, or its first `limit` characters."""
        return _text(self.tokenizer, self.train, limit)

    def val_text(self, limit: int | None = None) -> str:
        """Return the held-out text, or its first `limit` characters."""
        return _text(self.tokenizer, self.val, limit)

    def train_text_chunks(self) -> Iterator[str]:
        """Yield the training text in pieces, for a corpus that is larger than memory."""
        return text_chunks(self.tokenizer, self.train)


@dataclass(frozen=True)
class Labels:
    """What a dataset is called. Not stored with it: the same content can lie in two places under two names."""

    name: str
    title: str


def write_dataset(
    directory: Path,
    tokenizer: Tokenizer,
    train: Iterable[npt.NDArray[Any]],
    val: Iterable[npt.NDArray[Any]],
) -> None:
    """Write a dataset into an empty folder; `train` is consumed before `val` is begun. Raises OSError.

    The arrays are written as a stream and not through a memory map, so that a full disk is an error here and not a
    crash there.
    """
    dtype = storage_type(tokenizer.vocab_size)
    digest = _fingerprint_of(tokenizer)
    counts: dict[str, dict[str, int]] = {}
    for part, blocks in (("train", train), ("val", val)):
        tokens = characters = 0
        with (directory / f"{part}.bin").open("wb") as stream:
            for block in blocks:
                compact = np.ascontiguousarray(block, dtype=dtype)
                stream.write(compact.data)
                digest.update(compact.data)
                tokens += len(compact)
                characters += _characters(tokenizer, compact)
        digest.update(f" {part} {tokens}".encode())
        counts[part] = {"tokens": tokens, "characters": characters}
        if tokens < 2:
            raise too_short(tokens, 1, "training" if part == "train" else "held-out")
    tokenizer.save(directory)
    description = {
        "format": FORMAT,
        "dtype": dtype.name,
        "fingerprint": digest.hexdigest(),
        **counts,
    }
    (directory / _DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def open_dataset(directory: Path, labels: Labels) -> Dataset | None:
    """Open a prepared folder; None when there is none, or when it is not whole.

    Sizes are always checked, the content as well where that takes no time to speak of.
    """
    try:
        description = json.loads((directory / _DESCRIPTION_FILE).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            return None
        dtype = np.dtype(description["dtype"])
        arrays = []
        for part in ("train", "val"):
            path, tokens = directory / f"{part}.bin", description[part]["tokens"]
            if path.stat().st_size != tokens * dtype.itemsize:
                return None
            arrays.append(np.memmap(path, dtype=dtype, mode="r", shape=(tokens,)))
        tokenizer = load_tokenizer(directory)
        if sum(array.nbytes for array in arrays) <= _VERIFIED_BYTES:
            digest = _fingerprint_of(tokenizer)
            for part, array in zip(("train", "val"), arrays, strict=True):
                digest.update(array.data)
                digest.update(f" {part} {len(array)}".encode())
            if digest.hexdigest() != description["fingerprint"]:
                return None
    except (OSError, ValueError, KeyError, TypeError, TricksterError):
        return None
    train_characters, val_characters = description["train"]["characters"], description["val"]["characters"]
    return Dataset(
        train=arrays[0],
        val=arrays[1],
        tokenizer=tokenizer,
        fingerprint=description["fingerprint"],
        name=labels.name,
        description=f"{labels.title}: {train_characters:,} characters to train on, {val_characters:,} held out;"
        f" {tokenizer.kind} tokenizer, {tokenizer.vocab_size:,} ids",
        train_characters=train_characters,
        val_characters=val_characters,
        directory=directory,
    )


def _fingerprint_of(tokenizer: Tokenizer) -> hashlib._Hash:
    """Begin a fingerprint; the tokens follow."""
    return hashlib.sha256(f"trickster-dataset-{FORMAT} {tokenizer.digest}".encode())


def storage_type(vocab_size: int) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds every id."""
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def text_chunks(tokenizer: Tokenizer, tokens: npt.NDArray[Any]) -> Iterator[str]:
    """Yield the text of tokens in pieces."""
    return tokenizer.decode_stream(tokens[start : start + _BLOCK] for start in range(0, len(tokens), _BLOCK))


def _text(tokenizer: Tokenizer, tokens: npt.NDArray[Any], limit: int | None) -> str:
    pieces: list[str] = []
    length = 0
    for piece in text_chunks(tokenizer, tokens):
        pieces.append(piece)
        length += len(piece)
        if limit is not None and length >= limit:
            break
    return "".join(pieces)[:limit]


def _characters(tokenizer: Tokenizer, block: npt.NDArray[Any]) -> int:
    """Count characters as UTF-8's first bytes, which needs no alignment with the block's ends."""
    if tokenizer.kind == "char":
        return len(block)
    values = block if tokenizer.kind == "byte" else np.frombuffer(tokenizer.to_bytes(block), dtype=np.uint8)
    return int(np.count_nonzero((values & 0xC0) != 0x80))
