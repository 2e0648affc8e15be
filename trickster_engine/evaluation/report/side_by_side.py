"""One sentence as bytes, as characters and as word pieces of a corpus."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trickster_engine.config.plan import Plan
from trickster_engine.config.settings import BYTES_AND_END
from trickster_engine.data.prepare import prepare
from trickster_engine.data.tokenizer import Tokenizer, readable_alphabet

#: Word pieces to learn where the config has fewer: enough for common words.
_PIECES = 1024


@dataclass(frozen=True)
class View:
    """A sentence as one tokenizer sees it. `ids` is empty where it has a character that the corpus never uses."""

    kind: str
    vocabulary: int
    tokens: list[str]
    ids: list[int]
    summary: str

    @property
    def drawn(self) -> str:
        """The tokens with bars between them; a middle dot stands for a piece of a character."""
        shown = [
            token.replace("\N{REPLACEMENT CHARACTER}", "\N{MIDDLE DOT}").replace("\n", "\\n") for token in self.tokens
        ]
        return "|".join(shown)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return asdict(self)


def side_by_side(plan: Plan, folder: Path, text: str) -> list[View]:
    """Encode `text` with the byte, char and bpe tokenizers of a plan's corpus. Raises TricksterError as `prepare`."""
    views = []
    for kind in ("byte", "char", "bpe"):
        size = max(plan.model.vocab_size, _PIECES) if kind == "bpe" else max(plan.model.vocab_size, BYTES_AND_END)
        model = replace(plan.model, vocab_size=1_000_000 if kind == "char" else size)
        wanted = replace(plan, model=model, data=replace(plan.data, tokenizer=kind))
        views.append(_view(prepare(wanted, folder).tokenizer, text))
    return views


def _view(tokenizer: Tokenizer, text: str) -> View:
    unknown = tokenizer.unknown_characters(text)
    if unknown:
        known = readable_alphabet(tokenizer.alphabet or ())
        summary = f"cannot write {' '.join(map(repr, unknown))}, which do not occur in the corpus; it knows {known}"
        return View(tokenizer.kind, tokenizer.vocab_size, [], [], summary)
    ids = [int(token) for token in tokenizer.encode(text)]
    each = f", {len(text) / len(ids):.1f} characters each" if ids else ""
    return View(
        tokenizer.kind,
        tokenizer.vocab_size,
        [tokenizer.piece(token) for token in ids],
        ids,
        f"{len(ids)} tokens{each}",
    )
