"""Folders of a model that carry the sums of their files, so that nothing in them changes unnoticed.

    config.json  generation_config.json  model.safetensors  tokenizer.json  tokenizer_config.json
    checksums.json                  sums of the files above: they go along when only the model is copied
    trainer/manifest.json           sums of every file, of `trainer/` too; written last, it makes a checkpoint whole

Both say whose they are: the run's random id, and the step. Needs neither torch nor numpy.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trickster_engine.errors import TricksterError
from trickster_engine.system.files import (
    NotAPlainFileError,
    TooLargeError,
    open_plain,
    read_bytes,
    sync_file,
    sync_folder,
)
from trickster_engine.system.os_errors import reason

TRAINER_FOLDER = "trainer"
MANIFEST_FILE = "manifest.json"
SUMS_FILE = "checksums.json"
FORMAT = 2
_LARGEST_MANIFEST = 16 << 20
_NAME = re.compile(rf"(?:{TRAINER_FOLDER}/)?[A-Za-z0-9_][\w.-]*", re.ASCII)
#: Files that a reader would take for part of the model: one that the sums do not know is as bad as one that changed.
_READ = re.compile(
    r".*\.safetensors(?:\.index\.json)?|(?:generation_|tokenizer_)?config\.json|(?:tokenizer|state|plan)\.json"
)
_HASHED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class FileSum:
    """What a file must be."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The sums of a folder's files, and whose they are."""

    files: Mapping[str, FileSum]  # by path below the folder, with `/`
    run: str = ""  # the run's random id; empty: written before there were any, or by no run
    step: int | None = None


def seal(folder: Path, run: str = "", step: int | None = None) -> None:
    """Flush every file below a folder, read it back, and write the sums that make it whole. Raises OSError."""
    (folder / TRAINER_FOLDER).mkdir(exist_ok=True)
    sums = {path.relative_to(folder).as_posix(): _flushed(path) for path in _files_below(folder)}
    model = {name: file for name, file in sums.items() if "/" not in name}
    sums[SUMS_FILE] = _write(folder / SUMS_FILE, Manifest(model, run, step))
    _write(folder / TRAINER_FOLDER / MANIFEST_FILE, Manifest(sums, run, step))
    sync_folder(folder / TRAINER_FOLDER)
    sync_folder(folder)


def seal_model(folder: Path) -> None:
    """The same for a model that no trainer goes on with: `checksums.json` alone. Raises OSError."""
    _write(folder / SUMS_FILE, Manifest({path.name: _flushed(path) for path in _files_below(folder)}))
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """What a checkpoint says about itself; its files are not looked at. Raises TricksterError."""
    return _read(folder, f"{TRAINER_FOLDER}/{MANIFEST_FILE}")


def is_sealed(folder: Path) -> bool:
    """Whether a folder has a manifest, good or bad: what makes it a checkpoint of ours."""
    return os.path.lexists(folder / TRAINER_FOLDER / MANIFEST_FILE)


def verify(folder: Path) -> Manifest:
    """Raise TricksterError unless every file of a checkpoint is exactly as it was written."""
    return _verified(folder, read_manifest(folder))


def verify_model(folder: Path) -> Manifest | None:
    """The same for whatever sums a model's folder carries; None where it carries none, as those of others do.

    Raises TricksterError.
    """
    if is_sealed(folder):
        return verify(folder)
    if os.path.lexists(folder / SUMS_FILE):
        return _verified(folder, _read(folder, SUMS_FILE))
    return None


def damaged(folder: Path, reason: str) -> TricksterError:
    """The error for a checkpoint that cannot be used."""
    if (folder / TRAINER_FOLDER).exists():
        advice = "Use an earlier one: every folder in checkpoints/ is complete in itself. Resume does so automatically."
    else:
        advice = (
            f"Copy it again. If you changed it on purpose, remove {SUMS_FILE} there: it contains the old checksums."
        )
    return TricksterError("checkpoint-damaged", f"The checkpoint {folder} is damaged: {reason}.", advice)


def no_checkpoint(folder: Path, error: OSError) -> TricksterError:
    """The error for a checkpoint with a file that cannot be read: damaged, or only closed to us for now."""
    name = error.filename or folder
    why = f"{name}: {reason(error)}"
    if isinstance(error, (NotAPlainFileError, TooLargeError)) or error.errno in _GONE:
        return damaged(folder, why)
    return TricksterError(
        "checkpoint-unreadable",
        f"The checkpoint {folder} cannot be read: {why}.",
        "It may be intact. Fix the cause, for instance its permissions, and try again.",
    )


_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EINVAL)


def file_sha256(path: Path) -> str:
    """SHA-256 of a plain file's content, in hexadecimal. Raises OSError."""
    with open_plain(path) as file:
        return _sha256(iter(lambda: file.read(_HASHED_AT_ONCE), b""))


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _files_below(folder: Path) -> list[Path]:
    """The files of a folder that has just been written, but for the sums themselves."""
    sums = (folder / SUMS_FILE, folder / TRAINER_FOLDER / MANIFEST_FILE)
    return sorted(path for path in folder.rglob("*") if path.is_file() and path not in sums)


def _flushed(path: Path) -> FileSum:
    sync_file(path)
    return FileSum(path.stat().st_size, file_sha256(path))


def _write(path: Path, manifest: Manifest) -> FileSum:
    values: dict[str, Any] = {
        "format": FORMAT,
        "run": manifest.run,
        "step": manifest.step,
        "files": {name: {"size": file.size, "sha256": file.sha256} for name, file in manifest.files.items()},
    }
    # No newline at the end: cut short anywhere, it is no longer JSON.
    content = json.dumps({**values, "sum": _sum_of(values)}, indent=1).encode()
    path.write_bytes(content)
    sync_file(path)
    return FileSum(len(content), _sha256([content]))


def _sum_of(values: Mapping[str, Any]) -> str:
    """The sums' own sum: it covers keys that a newer version may have added."""
    return _sha256([json.dumps(values, sort_keys=True, separators=(",", ":")).encode()])


def _read(folder: Path, name: str) -> Manifest:
    try:
        if (folder / TRAINER_FOLDER).is_symlink():
            raise NotAPlainFileError(folder / TRAINER_FOLDER, "link")
        values = json.loads(read_bytes(folder / name, _LARGEST_MANIFEST))
        if "format" not in values:
            manifest = Manifest(_file_sums(values))
        else:
            if values["format"] != FORMAT:
                raise _newer(folder, name) if _is_newer(values["format"]) else ValueError("its format is unknown")
            if values.pop("sum") != _sum_of(values):
                raise ValueError("its content has changed")
            manifest = Manifest(_file_sums(values["files"]), values["run"], values["step"])
    except OSError as error:
        raise no_checkpoint(folder, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(folder, f"{name}: {error}") from error
    if "config.json" not in manifest.files:
        raise damaged(folder, f"{name} does not list config.json")
    return manifest


def _is_newer(version: object) -> bool:
    return isinstance(version, int) and FORMAT < version < 1000


def _newer(folder: Path, name: str) -> TricksterError:
    return TricksterError(
        "checkpoint-newer",
        f"{folder / name} was written by a newer version of Trickster.",
        "Update Trickster to use it.",
    )


def _file_sums(values: Mapping[str, Any]) -> dict[str, FileSum]:
    """Raises ValueError where a name leads anywhere else than to a file of the folder itself."""
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a file in it")
    return {name: FileSum(value["size"], value["sha256"]) for name, value in values.items()}


def _verified(folder: Path, manifest: Manifest) -> Manifest:
    try:
        for name in _unknown_files(folder, manifest):
            raise damaged(folder, f"{name} was added later")
        for name, expected in manifest.files.items():
            path = folder / name
            with open_plain(path) as file:
                same = os.fstat(file.fileno()).st_size == expected.size
                if not same or _sha256(iter(lambda: file.read(_HASHED_AT_ONCE), b"")) != expected.sha256:
                    raise damaged(folder, f"{name} has changed")
    except OSError as error:
        raise no_checkpoint(folder, error) from error
    return manifest


def _unknown_files(folder: Path, manifest: Manifest) -> Iterable[str]:
    """What a reader would read and no sum covers."""
    trainer = folder / TRAINER_FOLDER
    inside = any(name.startswith(f"{TRAINER_FOLDER}/") for name in manifest.files)
    for place, prefix in ((folder, ""), (trainer, f"{TRAINER_FOLDER}/")) if inside else ((folder, ""),):
        for name in sorted(os.listdir(place)):  # noqa: PTH208
            if _READ.fullmatch(name) and prefix + name not in manifest.files:
                yield prefix + name
