"""How a sample compares with the text it was learned from: how much is copied, and how many words are words.

A word is an unbroken run of letters of any alphabet, compared without regard to case; digits, apostrophes and hyphens
end it. The last word of a sample does not count when the sample ends inside it, since it may be cut short; neither
does the first one when `begins_inside`, for text that was cut out of the middle.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"[^\W\d_]+")
_PIECE = 1 << 20  # characters of training text searched at a time; about 150 bytes of memory each

_Hashes = npt.NDArray[np.uint64]


class CopiedRun(NamedTuple):
    """The longest piece of a sample that stands word for word in the training text."""

    length: int  # characters
    text: str


def words_of(text: str, *, begins_inside: bool = False) -> list[str]:
    """Return the words of a text in order, case-folded; see the top of this file."""
    found = [match for match in _WORD.finditer(text) if match.end() < len(text)]
    if begins_inside and found and found[0].start() == 0:
        found = found[1:]
    return [match.group().casefold() for match in found]


def vocabulary_of(text: str | Iterable[str]) -> frozenset[str]:
    """Return the different words of a text, or of a text in pieces, case-folded."""
    vocabulary: set[str] = set()
    carried = ""
    for piece in (text,) if isinstance(text, str) else text:
        whole = carried + piece
        # A word at a piece's end may go on in the next piece.
        cut = len(whole)
        while cut > 0 and _WORD.fullmatch(whole[cut - 1]):
            cut -= 1
        vocabulary.update(word.casefold() for word in _WORD.findall(whole[:cut]))
        carried = whole[cut:]
    vocabulary.update(word.casefold() for word in _WORD.findall(carried))
    return frozenset(vocabulary)


def real_word_share(sample: str, vocabulary: Container[str], *, begins_inside: bool = False) -> float:
    """Return the share of the sample's words that are in `vocabulary`, 0..1; 0 for a sample without words."""
    words = words_of(sample, begins_inside=begins_inside)
    return sum(word in vocabulary for word in words) / len(words) if words else 0.0


def longest_copied_run(sample: str, training_text: str | Iterable[str]) -> CopiedRun:
    """Return the longest run of characters of the sample that is found verbatim in the training text, exactly.

    The training text may come in pieces, of which only one is in memory at a time.
    """
    return longest_copied_runs([sample], training_text)[0]


def longest_copied_runs(samples: Sequence[str], training_text: str | Iterable[str]) -> list[CopiedRun]:
    """Return the longest copied run of each sample, reading the training text once for all of them."""
    best = [CopiedRun(0, "") for _ in samples]
    hashes = [_WindowHashes(sample) for sample in samples]
    overlap = max(map(len, samples), default=0)  # a run may lie across two pieces
    carried = ""
    for piece in (training_text,) if isinstance(training_text, str) else training_text:
        for start in range(0, len(piece), _PIECE):
            searched = _WindowHashes(carried + piece[start : start + _PIECE])
            best = [_longest(ours, searched, run) for ours, run in zip(hashes, best, strict=True)]
            carried = searched.text[-overlap:] if overlap else ""
    return best


def copied_shares(samples: Sequence[str], training_text: str, lengths: Sequence[int]) -> dict[int, float]:
    """Return, for each length, the share of the samples' runs of so many characters found in the training text, 0..1.

    A run lies within one sample. Lengths that no sample has are left out.
    """
    ours, theirs = [_WindowHashes(sample) for sample in samples], _WindowHashes(training_text)
    shares = {}
    for length in lengths:
        long_enough = [hashes.of(length) for hashes in ours if length <= len(hashes.text)]
        if long_enough and length <= len(training_text):
            shares[length] = float(np.isin(np.concatenate(long_enough), theirs.of(length)).mean())
    return shares


# ---------------------------------------------------------------------------------------------------------------------


class _WindowHashes:
    """Hashes of every window of a text, for any length, built from those of the lengths 1, 2, 4, …"""

    def __init__(self, text: str) -> None:
        self.text = text
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
        self._doubled = [_mixed(codes + np.uint64(0x9E3779B97F4A7C15))]

    def of(self, length: int) -> _Hashes:
        """Return the hash of each window of `length` characters, [len(text) - length + 1]."""
        windows = len(self.text) - length + 1
        joined: _Hashes | None = None
        done = 0
        for power in range(length.bit_length()):
            if power == len(self._doubled):
                half = self._doubled[-1]
                size = 1 << (power - 1)
                self._doubled.append(_mixed(half[:-size] * np.uint64(0xA0761D6478BD642F) + half[size:]))
            if length >> power & 1:
                part = self._doubled[power][done : done + windows]
                joined = part if joined is None else _mixed(joined * np.uint64(0xD6E8FEB86659FD93) + part)
                done += 1 << power
        assert joined is not None
        return joined


def _longest(sample: _WindowHashes, training: _WindowHashes, best: CopiedRun) -> CopiedRun:
    """Improve on `best` with runs that are in `training`.

    Whether any run of a given length is copied is decided for all of them at once, by the hashes of every window of
    that length; the length is found by doubling and then halving, since a part of a copied run is copied as well.
    """
    low, step = best, 1
    high = max(best.length, min(len(sample.text), len(training.text))) + 1  # no run of this length
    while low.length + 1 < high:
        length = min(low.length + step, high - 1)
        found = _run_of(length, sample, training)
        if found is None:
            high = length
            step = max(1, (high - low.length) // 2)
        else:
            low = found
            step = min(step * 2, max(1, (high - low.length) // 2))
    return low


def _run_of(length: int, sample: _WindowHashes, training: _WindowHashes) -> CopiedRun | None:
    ours, theirs = sample.of(length), training.of(length)
    # Nearly all of the training text's windows are ruled out by 16 bits of their hash.
    maybe = np.zeros(1 << 16, dtype=np.bool_)
    maybe[ours & np.uint64(0xFFFF)] = True
    candidates = theirs[maybe[theirs & np.uint64(0xFFFF)]]
    for start in np.flatnonzero(np.isin(ours, candidates)).tolist():
        run = sample.text[start : start + length]
        if run in training.text:  # equal hashes are a strong hint, not a proof
            return CopiedRun(length, run)
    return None


def _mixed(values: _Hashes) -> _Hashes:
    values = values ^ (values >> np.uint64(32))
    values = values * np.uint64(0xE9846AF9B1A615D3)
    mixed: _Hashes = values ^ (values >> np.uint64(29))
    return mixed
