"""How many keys a completion saves: a text is typed again, and an offer taken over where it is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

#: What one key takes over of an offer: a word with what stands before it, as editors' "accept next word" does.
_WORD = re.compile(r"\s*(?:\w+|[^\w\s]+)")


@dataclass(frozen=True)
class KeysSaved:
    """A text typed with completions. A key is a character, an offer taken whole, or a word of one."""

    characters: int
    keys: int
    offers: int  # how often something was offered; an offer that stays while it is typed along counts once a key
    right: int  # of those, how many began with what came next and were taken, whole or by a word

    @property
    def share(self) -> float:
        """The share of keys that need not be pressed, 0..1."""
        return 1 - self.keys / self.characters if self.characters else 0.0

    @property
    def precision(self) -> float:
        """The share of offers that were taken, 0..1."""
        return self.right / self.offers if self.offers else 0.0


def type_again(text: str, complete: Callable[[str], str], begin: int = 0) -> KeysSaved:
    """Type `text` from the character `begin` on; `complete` offers what may follow the text before the cursor.

    The typist never errs: an offer is taken whole where all of it is what comes next, by its first word where that is,
    and only where that saves a key.
    """
    at, keys, offers, right = begin, 0, 0, 0
    while at < len(text):
        offer = complete(text[:at])
        word = _WORD.match(offer)
        taken = next(
            (part for part in (offer, word[0] if word else "") if len(part) > 1 and text.startswith(part, at)), ""
        )
        offers += bool(offer)
        right += bool(taken)
        keys += 1
        at += len(taken) or 1
    return KeysSaved(len(text) - begin, keys, offers, right)
