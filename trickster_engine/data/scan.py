"""One pass over a text: how long it is, which characters it has, and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.data.document_choice import Listing
from trickster_engine.data.documents import MARK
from trickster_engine.errors import TricksterError


@dataclass(frozen=True)
class Scan:
    """What one pass over a text tells."""

    sha256: str  # of the text as UTF-8
    characters: int
    alphabet: str  # its characters, each once; empty unless asked for
    documents: str = ""  # those of a text that has any, as `Documents.as_text` gives them


def scan(chunks: Iterable[str], want_alphabet: bool, documents: bool = False) -> Scan:
    """Read a text once; `documents` where it has any."""
    digest, characters = hashlib.sha256(), 0
    alphabet: set[str] = set()
    listing = Listing()
    for chunk in hashed(chunks, digest):
        characters += len(chunk)
        if want_alphabet:
            alphabet.update(chunk)
        if documents:
            listing.add(chunk)
    alphabet.discard(MARK)
    listed = listing.documents.as_text() if documents else ""
    return Scan(digest.hexdigest(), characters, "".join(sorted(alphabet)), listed)


def hashed(chunks: Iterable[str], digest: Any) -> Iterator[str]:
    """Pass text on, and update the digest with it."""
    for chunk in chunks:
        digest.update(chunk.encode("utf-8"))
        yield chunk


def corpus_changed(path: Path) -> TricksterError:
    """The error for a text that is another at the second pass."""
    return TricksterError(
        "corpus-changed",
        f"The corpus {path} changed while it was being read.",
        "Try again when nothing writes to it.",
    )
