"""Which text is looked at: the one given, or a passage of the run's validation text."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.inference.resident import Loaded
from trickster_engine.inference.sampling import encode_prompt
from trickster_engine.inference.settings import sampling_settings
from trickster_engine.runs import RunDirectory, is_run_directory
from trickster_engine.runs.trained_text import trained_text

#: Tokens that are looked at, at most: attention has as many rows as columns.
MOST_TOKENS = 256
#: Tokens of a passage that is shown where no text is given.
_PASSAGE = 128
_MOST_CHARACTERS = 100_000
#: Training tokens of a corpus that is opened in an instant.
_SMALL = 20_000_000


class ReadText(NamedTuple):
    """A text as a model reads it."""

    text: str
    ids: list[int]
    left_out: int  # tokens at its end that are not read, because it is longer than what fits
    pieces: list[str]  # the text of each token
    breaks: list[bool]  # whether it holds a line break


def text_of(path: Path, held: Loaded, text: str | None) -> ReadText:
    """The given text's beginning, or that of the validation text, or the run's prompt. Raises TricksterError."""
    if text is None:
        text = _passage(path, held) or sampling_settings(path, {}).prompt
    if len(text) > _MOST_CHARACTERS:
        raise TricksterError(
            "text-too-long",
            f"The text has {len(text):,} characters; at most {_MOST_CHARACTERS:,} can be given.",
            f"At most {MOST_TOKENS} tokens of it are shown. Give a passage of it.",
            2,
        )
    return read_text(held, text)


def read_text(held: Loaded, text: str) -> ReadText:
    """A text as tokens, as many as fit. Raises TricksterError for characters that the model does not know."""
    tokenizer = held.tokenizer
    every = encode_prompt(tokenizer, text)
    ids = every[: min(held.model.config.max_seq_len, MOST_TOKENS)]
    shown = text if len(ids) == len(every) else tokenizer.decode(ids).rstrip("\ufffd")
    return ReadText(
        shown,
        ids,
        len(every) - len(ids),
        [tokenizer.piece(token) for token in ids],
        [b"\n" in tokenizer.token_bytes[token] for token in ids],
    )


def validation_tokens(path: Path) -> NDArray[Any]:
    """The tokens of the run's validation text, or even portions of a long one. Raises TricksterError."""
    run = _run_of(path)
    if run is None:
        raise TricksterError(
            "not-a-run", f"{path} is no part of a run, so its validation text is not known.", "Give a text to search."
        )
    return _validation_tokens(run.path)


def small_validation_text(path: Path) -> NDArray[Any] | None:
    """The same; None where it is not at hand, or its corpus is so large that opening it takes a while."""
    run = _run_of(path)
    identity = run.identity_if_readable() if run is not None else None
    if run is None or identity is None or not 0 < int(identity.data.get("train_tokens") or 0) <= _SMALL:
        return None
    try:
        return _validation_tokens(run.path)
    except (TricksterError, OSError):
        return None


def _passage(path: Path, held: Loaded) -> str:
    """The beginning of the run's validation text; empty where it is not at hand."""
    tokens = small_validation_text(path)
    wanted = min(held.model.config.max_seq_len, _PASSAGE)
    return "" if tokens is None else _as_text(held.tokenizer, [int(token) for token in tokens[:wanted]], wanted)


def _as_text(tokenizer: Tokenizer, tokens: list[int], wanted: int) -> str:
    """The text of the first tokens, which is not cut within a character and is no longer than wanted in tokens."""
    for count in range(min(wanted, len(tokens)), 0, -1):
        text = tokenizer.decode(tokens[:count])
        if not text.endswith("\ufffd") and len(encode_prompt(tokenizer, text)) <= wanted:
            return text
    return ""


def _run_of(path: Path) -> RunDirectory | None:
    return next((RunDirectory(place) for place in (path, *path.parents) if is_run_directory(place)), None)


@lru_cache(maxsize=1)
def _validation_tokens(run: Path) -> NDArray[Any]:
    directory = RunDirectory(run)
    return trained_text(directory, *directory.begun()).measured_val
