"""A prepared corpus on disk: memory-mapped tokens to train on and to be held out, the tokenizer, and what they are.

A small text is one file a part, `train.bin` and `val.bin`; a large one is many, `train-00000.bin` and so on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.batches import Tokens, even_portions, too_short
from trickster_engine.data.shards import ShardedTokens
from trickster_engine.data.tokenizer import Tokenizer, load_tokenizer
from trickster_engine.errors import TricksterError

FORMAT = 1  # part of every key: raise it when the meaning of these files changes
_DESCRIPTION_FILE = "dataset.json"
_BLOCK = 1 << 20  # tokens decoded at a time
_VERIFIED_BYTES = 32 << 20  # up to this size, tokens are compared with their fingerprint at every start
# A longer held-out text is represented by this many of its tokens: enough for a loss to the second decimal place, and
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

    @property
    def characters_per_token(self) -> float:
        """Characters a token, over the held-out text; turns nats a token into bits a character."""
        return self.val_characters / len(self.val)

    @property
    def measured_val(self) -> npt.NDArray[Any]:
        """The held-out tokens that losses are measured on, [tokens]: all of them, or even portions of a long text."""
        return even_portions(self.val, MEASURED_TOKENS)

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
    _describe(directory, {"format": FORMAT, "dtype": dtype.name, "fingerprint": digest.hexdigest(), **counts})


@dataclass(frozen=True)
class TokenFile:
    """One of the files that hold a large text's tokens."""

    name: str
    tokens: int
    characters: int
    sha256: str


def finish_sharded_dataset(directory: Path, tokenizer: Tokenizer, parts: Mapping[str, Sequence[TokenFile]]) -> None:
    """Make a dataset of a folder that already holds its tokens, in files in order for each part. Raises OSError."""
    digest = _fingerprint_of(tokenizer)
    counts: dict[str, dict[str, Any]] = {}
    for part in ("train", "val"):
        files = parts[part]
        tokens, characters = sum(file.tokens for file in files), sum(file.characters for file in files)
        if tokens < 2:
            raise too_short(tokens, 1, "training" if part == "train" else "held-out")
        for file in files:
            digest.update(f"{file.sha256} {file.tokens} ".encode())
        digest.update(f" {part} {tokens}".encode())
        counts[part] = {"tokens": tokens, "characters": characters, "files": [asdict(file) for file in files]}
    tokenizer.save(directory)
    dtype = storage_type(tokenizer.vocab_size)
    _describe(directory, {"format": FORMAT, "dtype": dtype.name, "fingerprint": digest.hexdigest(), **counts})


def _describe(directory: Path, description: dict[str, Any]) -> None:
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
        whole = [_open_part(directory, part, description[part], dtype) for part in ("train", "val")]
        if whole[0] is None or whole[1] is None:
            return None
        tokenizer = load_tokenizer(directory)
        arrays = [array for array in whole if isinstance(array, np.ndarray)]
        if len(arrays) == 2 and sum(array.nbytes for array in arrays) <= _VERIFIED_BYTES:
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
        train=whole[0],
        val=whole[1],
        tokenizer=tokenizer,
        fingerprint=description["fingerprint"],
        name=labels.name,
        description=f"{labels.title}: {train_characters:,} characters to train on, {val_characters:,} held out;"
        f" {tokenizer.kind} tokenizer, {tokenizer.vocab_size:,} ids",
        train_characters=train_characters,
        val_characters=val_characters,
        directory=directory,
    )


def _open_part(
    directory: Path, part: str, description: dict[str, Any], dtype: np.dtype[Any]
) -> npt.NDArray[Any] | ShardedTokens | None:
    """Map the tokens of one part; None where a file is not as long as it should be. Raises OSError."""
    tokens = description["tokens"]
    if "files" not in description:
        path = directory / f"{part}.bin"
        if path.stat().st_size != tokens * dtype.itemsize:
            return None
        return np.memmap(path, dtype=dtype, mode="r", shape=(tokens,))
    files = [TokenFile(**entry) for entry in description["files"]]
    paths = [directory / file.name for file in files]
    if any(path.stat().st_size != file.tokens * dtype.itemsize for path, file in zip(paths, files, strict=True)):
        return None
    return ShardedTokens(paths, dtype)


def _fingerprint_of(tokenizer: Tokenizer) -> hashlib._Hash:
    """Begin a fingerprint; the tokens follow."""
    return hashlib.sha256(f"trickster-dataset-{FORMAT} {tokenizer.digest}".encode())


def storage_type(vocab_size: int) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds every id."""
    return np.dtype(np.uint8 if vocab_size <= 1 << 8 else np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def text_chunks(tokenizer: Tokenizer, tokens: Tokens) -> Iterator[str]:
    """Yield the text of tokens in pieces."""
    return tokenizer.decode_stream(tokens[start : start + _BLOCK] for start in range(0, len(tokens), _BLOCK))


def _text(tokenizer: Tokenizer, tokens: Tokens, limit: int | None) -> str:
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
