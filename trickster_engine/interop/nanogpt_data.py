"""nanoGPT's prepared data as text: `train.bin` and `val.bin`, decoded by its `meta.pkl` or by a tokenizer.json.

The .bin files are token ids of 16 bits, one after the other. A character-level meta.pkl holds `stoi` and `itos`; it is
read by `pickle_data.py`, which runs nothing. Without one, nanoGPT's prepare.py has used GPT-2's tokenizer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trickster_engine.data.make_tokenizer import load_tokenizer, mapped_tokenizer
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.interop.pickle_data import PickleFile, whole_number
from trickster_engine.interop.pickle_machine import PickleError
from trickster_engine.system.files import SMALL_FILE_BYTES, open_plain
from trickster_engine.system.os_errors import cannot_write, reason
from trickster_engine.system.replace_folder import discard

PARTS = ("train", "val")
_META = "meta.pkl"
_AT_ONCE = 1 << 20  # tokens


def import_data(source: Path, target: Path, tokenizer_folder: Path | None = None) -> dict[str, int]:
    """Write `train.txt` and `val.txt` into `target`, a folder that does not exist yet; return the tokens of each.

    Raises TricksterError: data-file-missing, data-file-damaged, data-file-wrong, and leaves nothing behind then.
    """
    tokenizer = load_tokenizer(tokenizer_folder) if tokenizer_folder is not None else _character_table(source)
    known = np.array([tokenizer.library.id_to_token(index) is not None for index in range(tokenizer.vocab_size)])
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(error, target, "name a folder that does not exist yet", "output-not-writable") from error
    try:
        return {part: _decode(source / f"{part}.bin", target / f"{part}.txt", tokenizer, known) for part in PARTS}
    except OSError as error:
        discard(target)
        raise cannot_write(error, target, "name another folder") from error
    except BaseException:
        discard(target)
        raise


def _decode(source: Path, target: Path, tokenizer: Tokenizer, known: NDArray[np.bool_]) -> int:
    count = 0

    def blocks() -> Iterator[NDArray[np.uint16]]:
        nonlocal count
        for block in _tokens(source):
            unknown = block[(block >= len(known)) | ~known[np.minimum(block, len(known) - 1)]]
            if unknown.size:
                raise TricksterError(
                    "data-file-wrong",
                    f"{source} contains the id {int(unknown[0])}, which the tokenizer does not have.",
                    "Give the tokenizer that made it: --tokenizer FOLDER, with its tokenizer.json.",
                )
            count += len(block)
            yield block

    with target.open("w", encoding="utf-8", newline="") as file:
        for piece in tokenizer.decode_stream(blocks()):
            file.write(piece)
    return count


def _tokens(path: Path) -> Iterator[NDArray[np.uint16]]:
    try:
        with open_plain(path, follow_links=True) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0 or size % 2:
                raise _damaged(path, f"it has {size:,} bytes, and tokens have two each")
            while data := file.read(2 * _AT_ONCE):
                yield np.frombuffer(data, "<u2")
    except FileNotFoundError as error:
        raise TricksterError(
            "data-file-missing", f"There is no file {path}.", "Name a folder with nanoGPT's train.bin and val.bin."
        ) from error
    except OSError as error:
        raise _damaged(path, reason(error)) from error


def _character_table(source: Path) -> Tokenizer:
    """The tokenizer in a folder's meta.pkl."""
    path = source / _META
    if not os.path.lexists(path):
        raise TricksterError(
            "data-file-missing",
            f"There is no {_META} in {source}, so its tokens are probably GPT-2's.",
            "Give the folder of that tokenizer with --tokenizer. transformers writes it: "
            "AutoTokenizer.from_pretrained('gpt2').save_pretrained('gpt2')",
        )
    if path.stat().st_size > SMALL_FILE_BYTES:
        raise _damaged(path, f"it has more than {SMALL_FILE_BYTES:,} bytes")
    try:
        with PickleFile(path) as file:
            meta = file.load()
    except (OSError, PickleError) as error:
        raise _damaged(path, reason(error) if isinstance(error, OSError) else str(error)) from error
    stoi = meta.get("stoi") if isinstance(meta, dict) else None
    if not isinstance(stoi, dict) or not stoi:
        raise _damaged(path, "it has no stoi, the table from characters to ids")
    table: dict[str, int] = {}
    for token, value in stoi.items():
        index = whole_number(value)
        if not isinstance(token, str) or not token or index is None or index < 0:
            raise _damaged(path, f"it maps {token!r:.40} to {value!r:.40}")
        table[token] = index
    if len(set(table.values())) != len(table):
        raise _damaged(path, "it gives two characters the same id")
    try:
        return mapped_tokenizer(table)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: Any) -> TricksterError:
    return TricksterError(
        "data-file-damaged",
        f"{path} cannot be read as nanoGPT writes it: {why}.",
        "Run nanoGPT's prepare.py again, or train on the text itself: data_config.corpus.",
    )
