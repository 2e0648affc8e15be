"""Tokenizers made from text, and loaded from a `tokenizer.json`, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as LibraryTokenizer

from trickster_engine.data.documents import END_OF_TEXT
from trickster_engine.data.token_streams import panics_in_words
from trickster_engine.data.tokenizer import (
    BYTE_CHARACTERS,
    SPECIAL_TOKENS,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    Tokenizer,
    TokenizerKind,
)
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_json, read_text
from trickster_engine.system.os_errors import reason

_BYTES = len(BYTE_CHARACTERS)
# No tokenizer comes near, and a table of every id is kept in memory.
_MOST_IDS = 1 << 22
# No token is longer than this many characters, and none runs over from one such piece of a long word into the next:
# learning merges takes the square of a word's length, and a text without blanks is one word.
LONGEST_WORD = 256
_BEGIN_AND_END = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
# GPT-2's pattern, with that limit.
_MANY = f"{{1,{LONGEST_WORD}}}"
_WORDS = (
    rf"'(?:[sdmt]|ll|ve|re)| ?\p{{L}}{_MANY}| ?\p{{N}}{_MANY}| ?[^\s\p{{L}}\p{{N}}]{_MANY}|\s{_MANY}(?!\S)|\s{_MANY}"
)


def byte_tokenizer() -> Tokenizer:
    """256 ids, the values of UTF-8's bytes: byte-level BPE without a single merge."""
    vocabulary = {character: value for value, character in enumerate(BYTE_CHARACTERS)}
    library = LibraryTokenizer(models.BPE(vocab=vocabulary, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.decoder = decoders.ByteLevel()
    return Tokenizer(library, "byte")


def with_end(tokenizer: Tokenizer) -> Tokenizer:
    """The same with one id more, the last: a special token `<|endoftext|>` that ends a document, and begins the next.

    Whoever encodes with special tokens, as other programs do, gets it before the text, so that a prompt begins a
    document. In a text it is the characters that it is called by, as they stand.
    """
    library = tokenizer.library
    end = tokenizer.vocab_size
    library.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    library.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A",
        pair=f"{END_OF_TEXT} $A {END_OF_TEXT} $B",
        special_tokens=[(END_OF_TEXT, end)],
    )
    library.encode_special_tokens = True
    return Tokenizer(library, tokenizer.kind, _BEGIN_AND_END)


def char_tokenizer(characters: Iterable[str]) -> Tokenizer:
    """One id for each character, in the order of their code points. There is no unknown token."""
    return mapped_tokenizer({character: index for index, character in enumerate(sorted(set(characters)))})


def mapped_tokenizer(vocabulary: Mapping[str, int]) -> Tokenizer:
    """Build a char tokenizer with ids of its own; entries of several characters are decoded, never produced.

    Raises ValueError for an id that would need a table of gigabytes.
    """
    if max(vocabulary.values(), default=0) >= _MOST_IDS:
        raise ValueError(_too_many_ids(max(vocabulary.values())))
    library = LibraryTokenizer(models.BPE(vocab=dict(vocabulary), merges=[]))
    library.decoder = decoders.Fuse()
    return Tokenizer(library, "char")


def train_bpe(chunks: Iterable[str], vocab_size: int, *, progress: bool = False) -> Tokenizer:
    """Train byte-level BPE on text: the 256 bytes, then the most frequent pairs, up to `vocab_size` ids.

    The same text gives the same tokenizer. Pairs seen only once are not merged, so that a small text can give fewer
    ids than asked for. `progress` shows the library's own bars on standard error. Raises TricksterError
    `vocabulary-too-small` below 256.
    """
    if vocab_size < _BYTES:
        raise _too_small(vocab_size, _BYTES, "bpe")
    library = LibraryTokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        show_progress=progress,
        special_tokens=[],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    library.train_from_iterator(chunks, trainer)
    return Tokenizer(library, "bpe")


def load_tokenizer(directory: Path) -> Tokenizer:
    """Open a directory's tokenizer.json, whoever wrote it, with the special tokens that the file beside it names.

    Raises TricksterError: tokenizer-missing, tokenizer-damaged.
    """
    path = directory / TOKENIZER_FILE
    try:
        # The folder of a model on this machine's hub cache is full of links, and a person has named it.
        text = read_text(path, follow_links=True)
    except FileNotFoundError:
        raise TricksterError(
            "tokenizer-missing",
            f"There is no {TOKENIZER_FILE} in {directory}.",
            "Name a folder that has one; every checkpoint of a run does.",
        ) from None
    except OSError as error:
        raise _damaged(path, reason(error)) from error
    except UnicodeDecodeError as error:
        raise _damaged(path, str(error)) from error
    try:
        with panics_in_words():
            library = LibraryTokenizer.from_str(text)
            library.no_truncation()  # a prompt is encoded whole, and to no more ids than it has
            library.no_padding()
            document = json.loads(text)
            ends = _has_end(document, library)
            special = _BEGIN_AND_END if ends else _special_tokens(directory, library)
            tokenizer = Tokenizer(library, _recognise(document, library, ends), special)
            library.encode_special_tokens = tokenizer.begin_id is not None
            if tokenizer.vocab_size > _MOST_IDS:
                raise ValueError(_too_many_ids(tokenizer.vocab_size - 1))
            return tokenizer
    except RecursionError as error:
        raise _damaged(path, "it is nested too deeply") from error
    except Exception as error:  # the library raises bare Exception for whatever it does not like
        raise _damaged(path, error.message if isinstance(error, TricksterError) else str(error)) from error


def _special_tokens(directory: Path, library: LibraryTokenizer) -> dict[str, str]:
    """The tokens that tokenizer_config.json gives a part to play; empty where there is none, or it says nothing."""
    try:
        config = read_json(directory / TOKENIZER_CONFIG_FILE, follow_links=True)
        named = {role: config.get(role) for role in SPECIAL_TOKENS}
    except (OSError, ValueError, AttributeError):
        return {}
    tokens = {role: token.get("content") if isinstance(token, dict) else token for role, token in named.items()}
    return {
        role: token
        for role, token in tokens.items()
        if isinstance(token, str) and library.token_to_id(token) is not None
    }


def require_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Raise TricksterError `vocabulary-too-small` when the model has fewer ids than the tokenizer."""
    if tokenizer.vocab_size > vocab_size:
        raise _too_small(vocab_size, tokenizer.vocab_size, tokenizer.kind)


def _has_end(document: dict[str, Any], library: LibraryTokenizer) -> bool:
    """Whether a tokenizer.json has what `with_end` adds, and nothing else that is added."""
    added, after = document.get("added_tokens") or [], document.get("post_processor") or {}
    names = [token.get("content") for token in added]
    alone = names == [END_OF_TEXT] and added[0].get("id") == library.get_vocab_size() - 1
    return alone and after.get("type") == "TemplateProcessing" and END_OF_TEXT in after.get("special_tokens", {})


def _recognise(document: dict[str, Any], library: LibraryTokenizer, ends: bool) -> TokenizerKind:
    """Tell which kind a tokenizer.json is from what it does; anything not built here is `other`."""
    if document.get("normalizer") or (document.get("added_tokens") and not ends):
        return "other"
    if document["model"].get("type") != "BPE":
        return "other"
    pre, decoder = document.get("pre_tokenizer"), document.get("decoder") or {}
    merges = document["model"].get("merges")
    if pre is None and not merges and decoder.get("type") == "Fuse":
        return "char"
    if _is_limited(pre) and decoder.get("type") == "ByteLevel":
        return "bpe"
    if not pre or pre.get("type") != "ByteLevel" or pre.get("add_prefix_space") or decoder.get("type") != "ByteLevel":
        return "other"
    if merges or pre.get("use_regex", True):
        return "bpe"
    same = library.get_vocab(with_added_tokens=False) == {
        character: value for value, character in enumerate(BYTE_CHARACTERS)
    }
    return "byte" if same else "other"


def _is_limited(pre: dict[str, Any] | None) -> bool:
    """Whether a text is cut into words as `train_bpe` has it cut, byte level."""
    parts = (pre or {}).get("pretokenizers") or []
    if (pre or {}).get("type") != "Sequence" or [part.get("type") for part in parts] != ["Split", "ByteLevel"]:
        return False
    split, level = parts
    if split.get("pattern") != {"Regex": _WORDS} or split.get("behavior") != "Isolated" or split.get("invert"):
        return False
    return not level.get("add_prefix_space") and not level.get("use_regex", True)


def _too_small(vocab_size: int, needed: int, kind: str) -> TricksterError:
    called = "tokenizer" if kind == "other" else f"{kind} tokenizer of this corpus"
    return TricksterError(
        "vocabulary-too-small",
        f"model_config.vocab_size is {vocab_size:,}, but the {called} needs {needed:,}.",
        f"Set model_config.vocab_size to {needed:,} or more"
        + (", or use data_config.tokenizer: byte, which always needs 256." if needed > _BYTES else "."),
    )


def _too_many_ids(largest: int) -> str:
    return f"it has an id {largest:,}, and the largest allowed is {_MOST_IDS - 1:,}"


def _damaged(path: Path, reason: str) -> TricksterError:
    return TricksterError(
        "tokenizer-damaged",
        f"{path} cannot be read as a tokenizer: {reason}.",
        "Use another tokenizer.json; every checkpoint of a run has one.",
    )
