"""What belongs to a run on the disk, and removing it.

A path in a file of a run is data: anybody may have written it. So nothing goes because a config names it. In the run's
directory go the files that a run is known to hold; a checkpoint goes where it has our manifest, and elsewhere only
where that manifest carries this run's own id. Everything else stays and is named. No link is followed or removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from trickster_engine.model.checksums import MANIFEST_FILE, TRAINER_FOLDER
from trickster_engine.runs import (
    CONFIG_FILE,
    EVENTS_FILE,
    IDENTITY_FILE,
    LOCK_FILE,
    LOG_FILE,
    RunDirectory,
    is_run_directory,
)
from trickster_engine.runs.directory import FILES, INITIAL_FOLDER, TEACHER_FOLDERS
from trickster_engine.system.files import open_plain, path_meant, read_json
from trickster_server.paths import file_key, without_dots

#: In the order in which they go, last of all files: while they are there, the rest can be asked for again.
_LAST = (LOCK_FILE, IDENTITY_FILE, CONFIG_FILE, EVENTS_FILE)
_FILES = frozenset(FILES) - {*_LAST}
_TEMPORARY = re.compile(r"\..+\.tmp")
_EARLIER_CONFIG = re.compile(r"config-until-step-\d+\.yaml")
_STEP = re.compile(r"step-[0-9]{6,18}")
#: What a checkpoint holds, for one whose saving was cut off before its manifest was written.
_PIECE = re.compile(
    r"(?:generation_|tokenizer_)?config\.json|.+\.safetensors(?:\.index\.json)?"
    r"|(?:checksums|manifest|plan|state|tokenizer)\.json"
)
_CURVES = re.compile(r"events\.out\.tfevents\..+")
_MANIFEST = PurePath(TRAINER_FOLDER, MANIFEST_FILE)
_MANIFEST_BYTES = 16 << 20
_FIRST_LOGGED = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO (?:starting|preparing) at step \d+")
_MOST_ENTRIES = 100_000


@dataclass
class Part:
    """One folder with what of it belongs to the run, by paths below it."""

    root: Path
    files: list[PurePath] = field(default_factory=list)
    folders: list[PurePath] = field(default_factory=list)
    """Removed after the files, deepest first, where they are empty by then."""
    kept: list[PurePath] = field(default_factory=list)

    def removed(self) -> list[Path]:
        """The highest paths of which nothing stays."""
        staying = {parent for path in self.kept for parent in path.parents}
        found: dict[Path, None] = {}
        for path in [*self.folders, *self.files]:
            whole = [one for one in (*reversed(path.parents), path) if one not in staying]
            if whole:
                found[self.root / whole[0]] = None
        return list(found)


@dataclass(frozen=True)
class Belongings:
    """Everything that belongs to a run, and what is named with it and stays."""

    parts: list[Part]
    others: list[Path]
    """Folders elsewhere that the run's files name, and that carry no mark of it."""

    def removed(self) -> list[str]:
        """What goes, for people: files, and folders that go with all they hold."""
        return [str(path) for part in self.parts for path in part.removed()]

    def kept(self) -> list[str]:
        """What stays, for people."""
        return [*(str(part.root / path) for part in self.parts for path in part.kept), *map(str, self.others)]


def belongings(run: RunDirectory, others: Iterable[RunDirectory]) -> Belongings:
    """Look through what a run has on the disk; `others` are runs whose checkpoints and logs must stay.

    Raises OSError, also where the run's directory is a link.
    """
    used = {file_key(folder) for other in others if other.id == run.id for folder in _named_elsewhere(other)}
    parts: list[Part] = []
    stays: list[Path] = []
    for folder in _named_elsewhere(run):
        part = None if file_key(folder) in used else _elsewhere(folder, run.uid())
        if part is not None and part.files:
            parts.append(part)
        else:
            stays.append(folder)
    return Belongings([*parts, _directory(run.path)], stays)


def remove(found: Belongings) -> None:
    """Remove what belongs to a run. Raises OSError; the run can be deleted again then."""
    for part in found.parts:
        for path in part.files:
            with _holding(part.root, path.parent) as (folder, at):
                _remove_file(folder, path.name, at)
        for path in sorted(part.folders, key=lambda one: len(one.parts), reverse=True):
            if path.parts:
                with contextlib.suppress(OSError), _holding(part.root, path.parent) as (folder, at):
                    os.rmdir(path.name if at is not None else folder / path.name, dir_fd=at)
        if not part.kept:
            with contextlib.suppress(OSError):  # somebody has put something there meanwhile: it is theirs
                part.root.rmdir()


# ---- what is there --------------------------------------------------------------------------------------------------


def _directory(path: Path) -> Part:
    """What a run's own directory holds."""
    part = Part(path, folders=[PurePath()])
    last: list[PurePath] = []
    for entry in _entries(path, PurePath(), required=True):
        name = PurePath(entry.name)
        if _is_folder(entry):
            if entry.name in ("final", INITIAL_FOLDER, *TEACHER_FOLDERS):
                _take_model(part, name, None)
            elif entry.name == "checkpoints":
                _take_checkpoints(part, name)
            elif entry.name == "tensorboard":
                _take_named(part, name, _CURVES)
            else:
                part.kept.append(name)
        elif not _is_file(entry):
            part.kept.append(name)
        elif entry.name in _LAST:
            last.append(name)
        elif entry.name in _FILES or _TEMPORARY.fullmatch(entry.name) or _EARLIER_CONFIG.fullmatch(entry.name):
            part.files.append(name)
        else:
            part.kept.append(name)
    part.files += sorted(last, key=lambda one: _LAST.index(one.name))
    return part


def _elsewhere(folder: Path, uid: str) -> Part | None:
    """What a folder outside the run's directory holds of the run; None where the run has no id to know it by."""
    if not uid:
        return None
    part = Part(folder, folders=[PurePath()])
    for entry in _entries(folder, PurePath()):
        name = PurePath(entry.name)
        if _is_folder(entry) and _STEP.fullmatch(entry.name):
            _take_model(part, name, uid)
        elif entry.name == LOG_FILE and _is_file(entry) and _is_a_log(folder / LOG_FILE):
            part.files.append(name)
        else:
            part.kept.append(name)
    return part


def _take_checkpoints(part: Part, folder: PurePath) -> None:
    part.folders.append(folder)
    for entry in _entries(part.root, folder):
        if _is_folder(entry) and _STEP.fullmatch(entry.name):
            _take_model(part, folder / entry.name, None)
        elif _is_folder(entry) and _TEMPORARY.fullmatch(entry.name):
            _take_named(part, folder / entry.name, _PIECE)
        elif _is_file(entry) and _TEMPORARY.fullmatch(entry.name):
            part.files.append(folder / entry.name)
        else:
            part.kept.append(folder / entry.name)


def _take_named(part: Part, folder: PurePath, names: re.Pattern[str]) -> None:
    part.folders.append(folder)
    for entry in _entries(part.root, folder):
        if entry.name == _MANIFEST.parts[0] and _is_folder(entry) and folder.name != entry.name:
            _take_named(part, folder / entry.name, names)
        else:
            ours = _is_file(entry) and names.fullmatch(entry.name)
            (part.files if ours else part.kept).append(folder / entry.name)


def _take_model(part: Part, folder: PurePath, uid: str | None) -> None:
    """Take the files that a checkpoint's manifest names; with `uid`, only where the manifest is that run's."""
    names = _manifest(part.root / folder, uid)
    if names is None:
        part.kept.append(folder)
        return
    part.folders.append(folder)
    for entry in _entries(part.root, folder):
        path = folder / entry.name
        if entry.name == _MANIFEST.parts[0] and _is_folder(entry):
            part.folders.append(path)
            for inner in _entries(part.root, path):
                ours = _is_file(inner) and (inner.name == _MANIFEST.name or f"{entry.name}/{inner.name}" in names)
                (part.files if ours else part.kept).append(path / inner.name)
        else:
            (part.files if _is_file(entry) and entry.name in names else part.kept).append(path)
    # The manifest goes last: without it the rest could not be asked for again.
    part.files.sort(key=lambda one: one == folder / _MANIFEST)


def _manifest(folder: Path, uid: str | None) -> set[str] | None:
    """The names in a checkpoint's manifest; None where there is none, or it is not of the run of this id."""
    try:
        if not stat.S_ISDIR((folder / _MANIFEST.parent).lstat().st_mode):
            return None
        found: Any = read_json(folder / _MANIFEST, _MANIFEST_BYTES)
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or (uid is not None and found.get("run") != uid):
        return None
    files = found.get("files") if "format" in found else found
    return set(map(str, files)) if isinstance(files, dict) else None


def _is_a_log(path: Path) -> bool:
    """Whether a file begins as a trainer's log does."""
    try:
        with open_plain(path) as file:
            return _FIRST_LOGGED.match(file.read(200)) is not None
    except OSError:
        return False


def _named_elsewhere(run: RunDirectory) -> list[Path]:
    """The folders outside its directory that a run's files name, where they are there and are no links."""
    identity = run.identity_if_readable()
    plan = run.plan_if_readable() if identity is not None else None
    if plan is None or identity is None:
        return []
    base = run.origin(identity).parent
    given = (plan.output.checkpoint_dir, plan.output.log_dir)
    found = {file_key(path): path for one in given if one for path in [without_dots(path_meant(base, one)) / run.id]}
    return [path for path in found.values() if _is_apart(path, run)]


def _is_apart(folder: Path, run: RunDirectory) -> bool:
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode) or is_run_directory(folder):
            return False
    except (OSError, ValueError):
        return False
    its, directory = Path(file_key(folder)), Path(file_key(run.path))
    return not (its.is_relative_to(directory) or directory.is_relative_to(its))


# ---- the disk, without links ----------------------------------------------------------------------------------------


def _entries(root: Path, below: PurePath, *, required: bool = False) -> list[os.DirEntry[str]]:
    """What a folder holds; of one that cannot be looked into, or is a link, nothing."""
    folder = root / below
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode) or _is_junction(folder):
            raise NotADirectoryError(f"{folder} is a link, not a folder")
        with os.scandir(folder) as children:
            found = sorted(children, key=lambda entry: entry.name)
    except OSError:
        if required:
            raise
        return []
    if len(found) > _MOST_ENTRIES:
        raise OSError(f"{folder} holds more than {_MOST_ENTRIES:,} files; a run never does")
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not _is_junction(Path(entry.path))


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _is_junction(path: Path) -> bool:
    """Whether a folder is one of Windows' other links."""
    attributes = getattr(path.lstat(), "st_file_attributes", 0)
    return bool(attributes & getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400))


_BY_DESCRIPTOR = {os.open, os.unlink, os.rmdir} <= os.supports_dir_fd


@contextlib.contextmanager
def _holding(root: Path, below: PurePath) -> Iterator[tuple[Path, int | None]]:
    """A folder below `root` and its descriptor, so that nobody can put a link in its place. Raises OSError."""
    if sys.platform == "win32" or not _BY_DESCRIPTOR:
        for folder in [root, *(root / one for one in (*reversed(below.parents), below))]:
            if not stat.S_ISDIR(folder.lstat().st_mode) or _is_junction(folder):
                raise NotADirectoryError(f"{folder} is a link, not a folder")
        yield root / below, None
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    held = os.open(root, flags)
    try:
        for name in below.parts:
            inner = os.open(name, flags, dir_fd=held)
            os.close(held)
            held = inner
        yield root / below, held
    finally:
        os.close(held)


def _remove_file(folder: Path, name: str, at: int | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name if at is not None else folder / name, dir_fd=at)
