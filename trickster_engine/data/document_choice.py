"""Which documents of a text are for training, for validation, or left out: whole ones, and never both."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.config.split import validation_size
from trickster_engine.data.description import DocumentCounts
from trickster_engine.data.documents import MARK
from trickster_engine.errors import TricksterError

#: Where a document belongs, as it is written into a choice.
TRAINING, VALIDATION, DROPPED = range(3)
PARTS = ("train", "val")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Documents:
    """The documents of a text, in order."""

    sums: npt.NDArray[np.uint64]  # of what each says: the same for equal ones
    characters: Ints  # of each, its MARK included

    def __len__(self) -> int:
        """How many there are."""
        return len(self.sums)

    def as_text(self) -> str:
        """Them as a text for JSON."""
        return base64.b64encode(self.sums.astype("<u8").tobytes() + self.characters.astype("<i8").tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> Documents:
        """Read what `as_text` gave."""
        data = base64.b64decode(text)
        half = len(data) // 2
        return cls(
            np.frombuffer(data[:half], "<u8").astype(np.uint64), np.frombuffer(data[half:], "<i8").astype(np.int64)
        )

    @classmethod
    def joined(cls, parts: Sequence[Documents]) -> Documents:
        """Those of several texts, one after the other."""
        sums, characters = [part.sums for part in parts], [part.characters for part in parts]
        return cls(np.concatenate(sums or [np.empty(0, np.uint64)]), np.concatenate(characters or [_none()]))


class Listing:
    """Lists the documents of a stream that passes by."""

    def __init__(self) -> None:
        self._sums: list[int] = []
        self._characters: list[int] = []
        self._open: Any = None
        self._length = 0

    def add(self, chunk: str) -> None:
        """Take in more of the stream."""
        *whole, rest = chunk.split(MARK)
        for text in whole:
            self._extend(text)
            digest = self._open.digest() if self._open is not None else b""
            self._sums.append(int.from_bytes(digest, "little"))
            self._characters.append(self._length + 1)
            self._open, self._length = None, 0
        if rest:
            self._extend(rest)

    def _extend(self, text: str) -> None:
        if self._open is None:
            self._open = hashlib.blake2b(digest_size=8)
        self._open.update(text.encode("utf-8"))
        self._length += len(text)

    @property
    def documents(self) -> Documents:
        """All so far."""
        return Documents(np.array(self._sums, np.uint64), np.array(self._characters, np.int64))


def choose(documents: Documents, fraction: float, name: str, *, drop: bool) -> str:
    """Say for each document where it belongs, a digit each: TRAINING, VALIDATION or DROPPED.

    They are taken for validation in an order that only what they say decides, so that it is the same choice wherever
    the text lies, in every run, whatever its seed: as many as fit into the fraction of all characters, and at least
    one. Equal documents stay together, so that none is on both sides. `drop` leaves out all but the first of equal
    ones. Raises TricksterError `corpus-one-document` where there are no two different ones; `name` is the text's.
    """
    different, first, number = np.unique(documents.sums, return_index=True, return_inverse=True)
    if len(different) < 2:
        raise _one_document(name, len(documents))
    copies = np.ones(len(documents), bool)
    copies[first] = False
    counted = np.where(copies, 0, documents.characters) if drop else documents.characters
    sizes = np.bincount(number, weights=counted, minlength=len(different)).astype(np.int64)
    left = validation_size(int(sizes.sum()), fraction)
    taken = np.zeros(len(different), bool)
    smallest = int(sizes.min())
    for at, size in enumerate(sizes):  # in the order of their sums
        if size <= left:
            taken[at] = True
            left -= int(size)
            if left < smallest:
                break
    if not taken.any():  # each is longer than the fraction
        taken[int(sizes.argmin())] = True
    parts = np.where(taken[number], VALIDATION, TRAINING)
    if drop:
        parts[copies] = DROPPED
    return _digits(parts)


def choose_between(train: Documents, val: Documents, *, drop: bool) -> tuple[str, str]:
    """The same for a text to train on and one for validation, which are split already.

    `drop` leaves out copies in each, and of the training text what validation has as well.
    """
    parts = np.full(len(train), TRAINING), np.full(len(val), VALIDATION)
    if drop:
        for documents, chosen in zip((train, val), parts, strict=True):
            copies = np.ones(len(documents), bool)
            copies[np.unique(documents.sums, return_index=True)[1]] = False
            chosen[copies] = DROPPED
        parts[0][np.isin(train.sums, val.sums)] = DROPPED
    return _digits(parts[0]), _digits(parts[1])


def chosen(chunks: Iterable[str], choice: str, part: int) -> Iterator[str]:
    """Yield of a stream the documents that belong to a part, and consume the rest all the same."""
    wanted = str(part)
    at = 0
    for chunk in chunks:
        *whole, rest = chunk.split(MARK)
        end = at + len(whole)
        if end + bool(rest) > len(choice):
            raise TricksterError(
                "corpus-changed",
                "The corpus has more documents than when it was read first.",
                "Try again when nothing writes to it.",
            )
        pieces = [text + MARK for text, to in zip(whole, choice[at:end], strict=True) if to == wanted]
        if rest and choice[end] == wanted:
            pieces.append(rest)
        at = end
        if pieces:
            yield "".join(pieces)


@dataclass(frozen=True)
class Choice:
    """Where the documents of a text belong that comes in pieces: shards, or whole corpora."""

    parts: tuple[str, ...]  # for each piece, a digit for each document of it
    characters: tuple[tuple[int, int], ...]  # for each piece, those of its documents for training and for validation
    counts: DocumentCounts


#: Gives documents that are nearly alike the same sum; see `near_duplicates.py`.
Grouping = Callable[[Sequence[Documents]], Sequence[Documents]]


def choose_all(
    corpora: Sequence[Sequence[Documents]], fraction: float, name: str, *, drop: bool, grouping: Grouping | None = None
) -> Choice:
    """Choose for all pieces of one corpus, which is split by `choose`, or of two, see `choose_between`.

    `grouping` makes documents that are nearly alike as good as equal.
    """
    everything = [piece for pieces in corpora for piece in pieces]
    different = groups = len(np.unique(Documents.joined(everything).sums))
    if grouping is not None:
        everything = list(grouping(everything))
        groups = len(np.unique(Documents.joined(everything).sums))
    first = len(corpora[0])
    corpora = [everything[:first], everything[first:]][: len(corpora)]
    whole = [Documents.joined(pieces) for pieces in corpora]
    if len(whole) == 1:
        digits = choose(whole[0], fraction, name, drop=drop)
    else:
        digits = "".join(choose_between(*whole, drop=drop))
    ends = np.cumsum([len(piece) for piece in everything]).tolist()
    parts = tuple(digits[begin:end] for begin, end in zip([0, *ends], ends, strict=False))
    counts = DocumentCounts(
        digits.count(str(TRAINING)),
        digits.count(str(VALIDATION)),
        len(digits) - different,
        digits.count(str(DROPPED)),
        different - groups,
    )
    sizes = tuple(_sizes(piece, part) for piece, part in zip(everything, parts, strict=True))
    return Choice(parts, sizes, counts)


def _sizes(documents: Documents, digits: str) -> tuple[int, int]:
    belongs = np.frombuffer(digits.encode("ascii"), np.uint8) - ord("0")
    train, val = (int(documents.characters[belongs == part].sum()) for part in (TRAINING, VALIDATION))
    return train, val


def _digits(parts: npt.NDArray[Any]) -> str:
    return (parts + ord("0")).astype(np.uint8).tobytes().decode("ascii")


def _none() -> Ints:
    return np.empty(0, np.int64)


def _one_document(name: str, found: int) -> TricksterError:
    what = "one document" if found == 1 else f"{found:,} equal documents" if found else "no document"
    return TricksterError(
        "corpus-one-document",
        f"The corpus {name} has {what}, and validation needs another one: documents are never cut.",
        "Set data_config.documents to how the text is divided (files, lines, or separated by document_separator), add "
        "documents, or remove the key: the text is then one stream, and its end is validation text.",
    )
