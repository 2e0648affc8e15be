"""Folders that `save_to_disk` of Hugging Face's `datasets` wrote: which files are the data. Standard library only.

Such a folder holds rows in Arrow files, which `state.json` names, beside what `map` has cached; a dictionary of
datasets is a folder of them, one a split. Nothing of such a folder is a program, and none is run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickster_engine.errors import TricksterError
from trickster_engine.system.files import read_json

if TYPE_CHECKING:
    from trickster_engine.config.corpus_files import CorpusFile, LeftOut

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_TRAINING = "train"


def without_descriptions(files: Iterable[CorpusFile], root: Path, left_out: LeftOut) -> tuple[CorpusFile, ...]:
    """Leave out of a folder's files what of saved datasets is no data, and all splits but the one to train on.

    Raises TricksterError `dataset-damaged`.
    """
    files = tuple(files)
    parents = {file.path.parent for file in files}
    data = {folder: _data_files(folder) for folder in parents if _is_dataset(folder)}
    splits = {
        folder: _splits(folder) for folder in {*parents, *(one.parent for one in data)} if _holds(folder, _SPLITS)
    }
    taken = []
    for file in files:
        folder, name = file.path.parent, file.path.name
        reason = None
        if folder in data:
            reason = None if name in data[folder] else "describes a saved dataset, or is cached for one"
            others = splits.get(folder.parent, ()) if folder != root else ()  # one that is named is read
            if reason is None and _TRAINING in others and folder.name in others and folder.name != _TRAINING:
                reason = f"split other than {_TRAINING}"
        elif folder in splits and name == _SPLITS:
            reason = "describes a saved dataset, or is cached for one"
        if reason is None:
            taken.append(file)
        else:
            left_out.add(reason, file.path.relative_to(root).as_posix())
    return tuple(taken)


def _holds(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _is_dataset(folder: Path) -> bool:
    return _holds(folder, _STATE) and _holds(folder, _INFO)


def _data_files(folder: Path) -> frozenset[str]:
    state = _described(folder / _STATE)
    try:
        if state.get("_indices_data_files"):
            raise TricksterError(
                "dataset-damaged",
                f"{folder} holds the order of its rows apart from them, as an old version of datasets saved it.",
                "Save it again: load_from_disk(FOLDER).flatten_indices().save_to_disk(ANOTHER)",
            )
        names = frozenset(str(file["filename"]) for file in state["_data_files"])
        missing = sorted(name for name in names if not _holds(folder, name))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / _STATE, error) from error
    if missing:
        raise TricksterError(
            "dataset-damaged",
            f"{folder} lacks {len(missing):,} of the {len(names):,} files of its dataset, such as {missing[0]}.",
            "Copy the whole folder again, or save the dataset again with save_to_disk.",
        )
    return names


def _splits(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(map(str, _described(folder / _SPLITS)["splits"]))
    except (KeyError, TypeError) as error:
        raise _damaged(folder / _SPLITS, error) from error


def _described(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path, follow_links=True)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise _damaged(path, ValueError("it is no object"))
    return value


def _damaged(path: Path, error: Exception) -> TricksterError:
    return TricksterError(
        "dataset-damaged",
        f"{path} does not say which files are the dataset: {error}.",
        "Save the dataset again with save_to_disk, or name its files in data_config.include.",
    )
