"""Did you mean …? The nearest of several names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the candidate that `word` was probably meant to be, or None when none is near."""
    names = list(candidates)
    plain = _plain(word)
    for name in names:
        if _plain(name) == plain:
            return name
    if not plain or len(word) > 80:
        return None
    by_plain = {_plain(name): name for name in reversed(names)}
    close = get_close_matches(plain, by_plain, n=1, cutoff=cutoff)
    return by_plain[close[0]] if close else None


def _plain(word: str) -> str:
    return word.casefold().replace("-", "").replace("_", "").replace(" ", "")
