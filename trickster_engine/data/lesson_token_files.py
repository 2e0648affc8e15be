"""Read token files as the lesson saves them with torch: train.pt, val.pt and tokenizer.pt.

Such files are pickles. They are opened with `weights_only=True`, which builds tensors and plain containers and runs no
code that the file brings; anything else is refused. torch is imported only when one of these files is read.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trickster_engine.config.corpus_files import TENSOR_SUFFIXES, unreadable
from trickster_engine.data.make_tokenizer import mapped_tokenizer
from trickster_engine.data.tokenizer import Tokenizer
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import SMALL_FILE_BYTES, kind_of, open_plain, path_meant

_BEGINNINGS = (b"PK", b"\x80")  # of an archive, and of a pickle, which torch saved before it used them
_BLOCK = 1 << 20  # tokens


def require_file(path: Path) -> None:
    """Raise TricksterError unless `path` is a file that may have been saved by torch, of which two bytes are read.

    data-file-missing, data-file-damaged, corpus-unreadable.
    """
    if not path.is_file():
        kind = kind_of(path.stat()) if path.exists() else None
        raise TricksterError(
            "data-file-missing",
            f"{path} is a {kind}, not a file." if kind else f"There is no file {path}.",
            "data_config's train_data, val_data and tokenizer are paths relative to the config's folder. Without them,"
            " data_config.corpus: shakespeare prepares the same text by itself.",
        )
    try:
        with open_plain(path, follow_links=True) as stream:
            beginning = stream.read(2)
    except OSError as error:
        raise unreadable(path, error) from error
    if not beginning.startswith(_BEGINNINGS):
        raise _damaged(path, ValueError("its first bytes are those of another format"))


def find_tokenizer(name: str, folder: Path, train: Path) -> Path | None:
    """Return the tokenizer.pt that goes with a train.pt: the one named, else the one beside it, else None for bytes.

    The lesson's configs often leave the tokenizer out, and its files always lie side by side.
    """
    if Path(name).suffix.lower() in TENSOR_SUFFIXES:
        path = path_meant(folder, name)
        require_file(path)
        return path
    beside = train.parent / "tokenizer.pt"
    if beside.is_file():
        return beside
    if name == "byte":
        return None
    raise TricksterError(
        "data-file-missing",
        f"{train} contains tokens, but there is no tokenizer.pt beside it to decode them.",
        "Set data_config.tokenizer to the path of its tokenizer.pt, or to byte if the tokens are the text's bytes.",
    )


def read_tokens(path: Path, vocab_size: int) -> npt.NDArray[Any]:
    """Read a one-dimensional integer tensor, [tokens]; every id has to be below `vocab_size`.

    Raises TricksterError: data-file-unsafe, data-file-damaged, data-file-wrong.
    """
    import torch

    tensor = _load(path)
    if not isinstance(tensor, torch.Tensor):
        raise _wrong(path, f"contains a {type(tensor).__name__}, not a tensor of tokens")
    if tensor.dim() != 1 or tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        shape = " by ".join(map(str, tensor.shape)) or "one"
        raise _wrong(path, f"contains a tensor of {shape} {str(tensor.dtype).removeprefix('torch.')} numbers")
    tokens: npt.NDArray[Any] = tensor.numpy()
    if tokens.size:
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= vocab_size:
            raise _wrong(
                path, f"contains the id {low if low < 0 else high}, but the tokenizer has ids 0 to {vocab_size - 1}"
            )
    return tokens


def read_tokenizer(path: Path) -> Tokenizer:
    """Read a tokenizer.pt: a dict with `stoi` (character to id), or else `itos` (id to character, dict or list).

    Raises TricksterError: data-file-missing, data-file-unsafe, data-file-damaged, data-file-wrong.
    """
    require_file(path)
    if path.stat().st_size > SMALL_FILE_BYTES:
        raise _wrong(path, f"contains more than {SMALL_FILE_BYTES:,} bytes")
    document = _load(path)
    if not isinstance(document, dict):
        raise _wrong(path, f"contains a {type(document).__name__}, not a dictionary with stoi and itos")
    stoi, itos = document.get("stoi"), document.get("itos")
    if isinstance(itos, (list, tuple)):
        itos = dict(enumerate(itos))
    if stoi is None and isinstance(itos, dict):
        stoi = {token: index for index, token in itos.items()}
    if not isinstance(stoi, dict) or not stoi:
        raise _wrong(path, "has no stoi, the table from characters to ids")
    ids = set()
    for token, index in stoi.items():
        if (
            not isinstance(token, str)
            or not token
            or isinstance(index, bool)
            or not isinstance(index, int)
            or index < 0
        ):
            raise _wrong(path, f"maps {token!r} to {index!r} in stoi, where a character and its id were expected")
        ids.add(index)
    if len(ids) != len(stoi):
        raise _wrong(path, "gives two characters the same id in stoi")
    if isinstance(itos, dict) and any(itos.get(index, token) != token for token, index in stoi.items()):
        raise _wrong(path, "has an stoi and an itos that disagree")
    try:
        return mapped_tokenizer(stoi)
    except ValueError as error:
        raise _damaged(path, error) from error


def blocks(tokens: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield tokens in pieces, so that converting a large file needs little memory."""
    for start in range(0, len(tokens), _BLOCK):
        yield np.asarray(tokens[start : start + _BLOCK])


def _load(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file is said below, once and in words
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except (RuntimeError, ValueError):  # only torch's newer format can be mapped; the older is read whole
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "weights only" in str(error).lower():
            raise TricksterError(
                "data-file-unsafe",
                f"{path} is a pickle that contains more than tensors and plain values; loading it could run hidden "
                "code. It was refused, and nothing in it was run.",
                "Save it again from a program that you trust, with torch.save(torch.tensor(ids), path), or use the "
                "text itself: data_config.corpus.",
            ) from None
        raise _damaged(path, error) from error
    except Exception as error:  # a damaged file can fail in any of torch's layers, each with its own exception
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> TricksterError:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return TricksterError(
        "data-file-damaged",
        f"{path} cannot be read as a torch file: {reason}",
        "Create it again, or use the text itself: data_config.corpus.",
    )


def _wrong(path: Path, what: str) -> TricksterError:
    return TricksterError(
        "data-file-wrong",
        f"{path} {what}.",
        "The lesson's train.pt and val.pt contain one row of integers each, the token ids; its tokenizer.pt contains "
        "a dictionary with stoi and itos. To start from text instead: data_config.corpus.",
    )
