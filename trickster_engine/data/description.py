"""What a prepared folder says of itself, `dataset.json`: under a sum, and believed only where it can be true."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from trickster_engine.system.files import read_json, write_json_atomically
from trickster_engine.system.json_checksum import SUM, seal, unseal

FORMAT = 1  # part of every key: raise it when the meaning of these files changes
_FILE = "dataset.json"
_BYTES = {"uint8": 1, "uint16": 2, "uint32": 4}
_NAME = re.compile(r"(train|val)-\d{5}\.bin")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class TokenFile:
    """One of the files that hold a large text's tokens."""

    name: str
    tokens: int
    characters: int
    sha256: str


@dataclass(frozen=True)
class Part:
    """The tokens to train on, or those held out; `files` is empty where they are one file."""

    tokens: int
    characters: int
    files: tuple[TokenFile, ...] = ()


@dataclass(frozen=True)
class DocumentCounts:
    """How many documents a text has."""

    train: int
    val: int
    duplicates: int  # those that say what an earlier one says
    dropped: int
    near: int = 0  # those that nearly say what an earlier one says, where these were looked for


@dataclass(frozen=True)
class Description:
    """What was written."""

    dtype: str
    fingerprint: str
    tokenizer_sha256: str | None  # of tokenizer.json; None in a description of before there were sums in it
    train: Part
    val: Part
    documents: DocumentCounts | None = None  # of a text that has any

    @property
    def bytes(self) -> int:
        """Bytes of tokens on disk."""
        return (self.train.tokens + self.val.tokens) * _BYTES[self.dtype]


def write_description(directory: Path, description: Description) -> None:
    """Write it, replacing the one that is there. Raises OSError."""
    document: dict[str, Any] = {"format": FORMAT, "dtype": description.dtype, "fingerprint": description.fingerprint}
    if description.tokenizer_sha256 is not None:
        document["tokenizer"] = description.tokenizer_sha256
    for name, part in (("train", description.train), ("val", description.val)):
        files = {"files": [asdict(file) for file in part.files]} if part.files else {}
        document[name] = {"tokens": part.tokens, "characters": part.characters, **files}
    if description.documents is not None:
        document["documents"] = asdict(description.documents)
    write_json_atomically(directory / _FILE, seal(document))


def read_description(directory: Path) -> Description:
    """Read it. Raises OSError, and ValueError where it is damaged or of another format."""
    value = read_json(directory / _FILE)
    document = unseal(value) if not isinstance(value, dict) or SUM in value or "tokenizer" in value else value
    if document.get("format") != FORMAT or document.get("dtype") not in _BYTES:
        raise ValueError("it is of another format")
    train, val = _part(document.get("train")), _part(document.get("val"))
    if bool(train.files) != bool(val.files):
        raise ValueError("one part is in files and the other is not")
    tokenizer = _sha256(document.get("tokenizer")) if SUM in value else None
    fingerprint, documents = _sha256(document.get("fingerprint")), _documents(document.get("documents"))
    return Description(document["dtype"], fingerprint, tokenizer, train, val, documents)


def token_file(value: Any) -> TokenFile:
    """The file that JSON describes. Raises ValueError."""
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not _NAME.fullmatch(value["name"]):
        raise ValueError("it names no file of tokens")
    tokens, characters = _count(value.get("tokens")), _count(value.get("characters"))
    return TokenFile(value["name"], tokens, characters, _sha256(value.get("sha256")))


def _part(value: Any) -> Part:
    if not isinstance(value, Mapping):
        raise ValueError("a part is not described")
    listed = value.get("files", [])
    if not isinstance(listed, list):
        raise ValueError("its files are not listed")
    part = Part(_count(value.get("tokens")), _count(value.get("characters")), tuple(map(token_file, listed)))
    sums = (sum(file.tokens for file in part.files), sum(file.characters for file in part.files))
    if part.files and sums != (part.tokens, part.characters):
        raise ValueError("its counts are inconsistent")
    return part


def _documents(value: Any) -> DocumentCounts | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ValueError("its documents are not counted")
    value = {"near": 0, **value}  # not in what was written before they were counted
    return DocumentCounts(*(_count(value.get(field.name)) for field in fields(DocumentCounts)))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ValueError("a count is not a number")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("a checksum is missing")
    return value
