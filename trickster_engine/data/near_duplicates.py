"""Documents that nearly say what another one says, found by MinHash in bounded memory.

Two documents are compared by their shingles: every SHINGLE bytes in a row of their text, in small letters and with one
blank for white space of any kind. How alike they are is the Jaccard index, the share of all shingles of both that both
have. MinHash estimates it from a signature of each (Broder, "On the resemblance and containment of documents", 1997;
computed by the package rensa), and bands of the signatures find which pairs to compare (Leskovec, Rajaraman, Ullman,
"Mining of Massive Datasets", section 3.4): of pairs that are J alike a share of 1 - (1 - J^8)^16, 0.95 at 0.8 and
0.9999 at 0.9.

Signatures lie in a file, 512 bytes a document; in memory are some 50 bytes for each.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from trickster_engine.data.document_choice import Documents
from trickster_engine.data.documents import MARK
from trickster_engine.data.overlap import window_hashes
from trickster_engine.data.sharded.work_folder import storing
from trickster_engine.errors import TricksterError

#: How rensa makes signatures: another number would leave out other documents, and `NEAR` in index.py has to change too.
_ALGORITHM = 2
SHINGLE = 24  # bytes
THRESHOLD = 0.8
#: Of a longer document only its beginning is compared.
MOST_BYTES = 1 << 22
_SLOTS, _BANDS = 128, 16
_ROWS = _SLOTS // _BANDS
_SEED = 1
#: Text whose signatures are computed together.
_BATCH_BYTES, _BATCH_DOCUMENTS = 1 << 20, 1 << 12
_COMPARED = 1 << 14  # pairs of signatures compared together
#: Within a band, a document is compared with so many that are not alike themselves.
_FIRST_ONES = 8

_Ints = npt.NDArray[np.int64]
_Signatures = npt.NDArray[np.uint32]
Sums = npt.NDArray[np.uint64]


def grouped(
    documents: Sequence[Documents],
    streams: Iterable[Iterable[str]],
    folder: Path,
    interrupt: Callable[[], None] | None = None,
) -> list[Documents]:
    """Return the documents of some texts with one sum for all that are nearly alike, wherever they are.

    `streams` are the texts of `documents`, with MARK behind each. The file of signatures lies in `folder` until the
    end. Raises TricksterError: needs-rensa, corpus-changed, disk-full, cache-unwritable.
    """
    rensa = _package()
    whole = Documents.joined(documents)
    with storing(folder), contextlib.closing(tempfile.TemporaryFile(dir=folder)) as stream:
        count = _write_signatures(rensa, (chunk for text in streams for chunk in text), stream)
        if count != len(whole):
            raise TricksterError(
                "corpus-changed",
                f"The corpus has {count:,} documents, and had {len(whole):,} when it was read first.",
                "Try again when nothing writes to it.",
            )
        stream.flush()
        signatures = np.memmap(stream, np.uint32, "r", shape=(count, _SLOTS)) if count else np.empty((0, _SLOTS), "u4")
        first = _first_of_each(signatures, whole.sums, interrupt)
        del signatures
    # The smallest of its sums stands for a group: what is chosen then does not depend on the order of documents.
    smallest = whole.sums.copy()
    np.minimum.at(smallest, first, whole.sums)
    sums = smallest[first]
    ends = np.cumsum([len(one) for one in documents]).tolist()
    parts = zip([0, *ends], ends, documents, strict=False)
    return [Documents(sums[begin:end], one.characters) for begin, end, one in parts]


def _package() -> Any:
    what = "not installed"
    with contextlib.suppress(ImportError):
        rensa = importlib.import_module("rensa")
        if getattr(rensa.RMinHash, "ALGORITHM_VERSION", None) == _ALGORITHM:
            return rensa
        what = "here in a version that chooses other documents"
    raise TricksterError(
        "needs-rensa",
        f"data_config.drop_near_duplicates needs the package rensa, which is {what}.",
        "Install it with: pip install 'rensa>=0.5,<0.6', or remove the key.",
    )


def shingles(text: str) -> npt.NDArray[np.uint64]:
    """A hash of each shingle of a document, [shingles], at least one; see the top of this file."""
    data = np.frombuffer(" ".join(text.lower().split()).encode("utf-8"), np.uint8)[:MOST_BYTES]
    if len(data) < SHINGLE:  # one shingle, of the whole and zeros
        data = np.concatenate((data, np.zeros(SHINGLE - len(data), np.uint8)))
    return np.concatenate(
        [
            window_hashes(data[begin : begin + _BATCH_BYTES], SHINGLE)
            for begin in range(0, len(data) - SHINGLE + 1, _BATCH_BYTES - SHINGLE + 1)
        ]
    )


def _write_signatures(rensa: Any, chunks: Iterable[str], stream: IO[bytes]) -> int:
    count, waiting, size = 0, list[npt.NDArray[np.uint64]](), 0

    def flush() -> None:
        ends = np.cumsum([0, *(len(one) for one in waiting)]).astype(np.uint64)
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(waiting), ends, _SLOTS, _SEED)
        stream.write(np.array(matrix.to_rows(), "<u4").tobytes())

    for text in _documents(chunks):
        waiting.append(shingles(text))
        count, size = count + 1, size + len(waiting[-1])
        if size >= _BATCH_BYTES or len(waiting) == _BATCH_DOCUMENTS:
            flush()
            waiting, size = [], 0
    if waiting:
        flush()
    return count


def _documents(chunks: Iterable[str]) -> Iterator[str]:
    """Yield each document of a stream, of a long one as much as is compared."""
    held: list[str] = []
    length = 0
    for chunk in chunks:
        first, *others = chunk.split(MARK)
        for at, text in enumerate((first, *others)):
            if at:
                yield "".join(held)
                held, length = [], 0
            if length < 2 * MOST_BYTES:
                held.append(text)
                length += len(text)


def _first_of_each(signatures: _Signatures, sums: Sums, interrupt: Callable[[], None] | None) -> _Ints:
    """For each document the first one of its group, [documents]; equal documents are alike."""
    first = np.unique(sums, return_index=True, return_inverse=True)
    root: _Ints = first[1][first[2]].astype(np.int64)
    for band in range(_BANDS):
        if interrupt is not None:
            interrupt()
        keys = _band_keys(signatures, band)
        order = np.argsort(keys, kind="stable")
        same = np.concatenate(([False], keys[order][1:] == keys[order][:-1]))
        begins = np.flatnonzero(~same & np.concatenate((same[1:], [False])))
        for begin in begins.tolist():
            end = begin + 1
            while end < len(order) and same[end]:
                end += 1
            _join(order[begin:end], signatures, root, interrupt)
    return _roots(root)


def _band_keys(signatures: _Signatures, band: int) -> Sums:
    """A number for what stands in a band of each signature, [documents]."""
    keys = np.empty(len(signatures), np.uint64)
    columns = slice(band * _ROWS, (band + 1) * _ROWS)
    for begin in range(0, len(signatures), _COMPARED):
        rows = np.ascontiguousarray(signatures[begin : begin + _COMPARED, columns]).view(np.uint8)
        mixed = np.zeros(len(rows), np.uint64)
        for column in rows.reshape(len(rows), -1, 4).view("<u4")[..., 0].T.astype(np.uint64):
            mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        keys[begin : begin + len(rows)] = mixed
    return keys


def _join(
    members: npt.NDArray[Any], signatures: _Signatures, root: _Ints, interrupt: Callable[[], None] | None
) -> None:
    """Put documents of one band into one group where their signatures agree."""
    left = members
    for _ in range(_FIRST_ONES):
        # Those that are in the first one's group already need no look.
        own = _root(root, int(left[0]))
        rest = np.array([one for one in left[1:].tolist() if _root(root, one) != own], np.int64)
        if not len(rest):
            return
        alike = np.concatenate(
            [
                (signatures[rest[begin : begin + _COMPARED]] == signatures[left[0]]).mean(axis=1) >= THRESHOLD
                for begin in range(0, len(rest), _COMPARED)
            ]
        )
        if interrupt is not None:
            interrupt()
        for one in rest[alike].tolist():
            _unite(root, own, one)
            own = _root(root, own)
        left = rest[~alike]
        if not len(left):
            return


def _root(root: _Ints, at: int) -> int:
    while root[at] != at:
        root[at] = root[root[at]]
        at = int(root[at])
    return at


def _unite(root: _Ints, one: int, other: int) -> None:
    first, second = _root(root, one), _root(root, other)
    root[max(first, second)] = min(first, second)


def _roots(root: _Ints) -> _Ints:
    while (root != (further := root[root])).any():
        root = further
    return root
