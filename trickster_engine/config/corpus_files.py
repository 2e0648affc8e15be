"""Which files a config's corpus means, and why others of its folder are left out. Standard library only."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Literal

from trickster_engine.config.archives import SKIPPED_FOLDERS, members
from trickster_engine.config.file_formats import FileFormat, format_of, not_text
from trickster_engine.config.own_output import NOTHING, RUN, OwnOutput, is_config, kind_of_output
from trickster_engine.config.patterns import BY_ENDING, Selection
from trickster_engine.config.record_fields import field_not_named, fields_in
from trickster_engine.config.saved_datasets import without_descriptions
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command, kind_of, path_meant
from trickster_engine.system.os_errors import reason
from trickster_engine.system.unpacking import shown_name

CorpusKind = Literal["shakespeare", "python", "file", "folder"]
BUILT_IN_CORPORA = ("shakespeare", "python")
#: Endings of files that torch saved: tokens, or the table that made them.
TENSOR_SUFFIXES = (".pt", ".pth")
#: Tiny Shakespeare: pure ASCII, so as many characters.
SHAKESPEARE_BYTES = 1_115_394
_EXAMPLES = 3  # names shown for each reason
_NAME_CHARACTERS = 80


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus, as it was when the corpus was resolved."""

    path: Path
    size: int  # bytes
    modified_ns: int
    changed_ns: int  # unlike the line above, nothing can set it back
    member: str = ""  # of a zip archive: its name there; `size` is its own then, unpacked

    @property
    def format(self) -> FileFormat:
        """How it is read, by its name."""
        return format_of(self.member or self.path.name)

    @property
    def is_packed(self) -> bool:
        """Whether its text is not simply its bytes, so that its size does not tell how much text it is."""
        return bool(self.member or self.format.compression or self.format.records)

    def is_as_it_was(self) -> bool:
        """Whether nothing has changed it since, or the archive that it is in. Raises OSError."""
        now = file_now(self.path)
        if self.member:
            return (now.modified_ns, now.changed_ns) == (self.modified_ns, self.changed_ns)
        return now == self

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return shown_name(self.path, self.member)


@dataclass
class LeftOut:
    """How many files and folders were left out for each reason, and the first few names of each."""

    counts: dict[str, int] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Note one."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        known = self.names.setdefault(reason, [])
        known.append(name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…")
        if len(known) > 1_000:  # a folder may hold millions
            known[:] = sorted(known)[:_EXAMPLES]

    def joined(self, others: Iterable[LeftOut]) -> LeftOut:
        """These and those of other folders."""
        whole = LeftOut()
        for one in (self, *others):
            for why, count in one.counts.items():
                whole.counts[why] = whole.counts.get(why, 0) + count
                whole.names[why] = [*whole.names.get(why, []), *one.names.get(why, [])]
        return whole

    @property
    def total(self) -> int:
        """Files and folders, all reasons together."""
        return sum(self.counts.values())

    def examples(self) -> dict[str, list[str]]:
        """The first names of each reason, in order."""
        return {reason: sorted(names)[:_EXAMPLES] for reason, names in self.names.items()}

    def shortened(self) -> LeftOut:
        """The same with no more names than are shown."""
        return LeftOut(dict(self.counts), self.examples())

    def as_text(self) -> str:
        """One line: `link to a folder: linked/; no text file extension: c.log, noending`; empty for none."""
        return left_out_text(self.counts, self.examples())


@dataclass(frozen=True)
class TextFiles:
    """The files of a corpus, in order."""

    name: str  # as the config names it
    kind: CorpusKind
    path: Path  # the file, or the folder that holds the files
    files: tuple[CorpusFile, ...]
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)

    @property
    def size(self) -> int:
        """Bytes on disk, all files together."""
        return sum(file.size for file in self.files)

    @property
    def is_packed(self) -> bool:
        """Whether sizes of files do not tell how much text there is: some is compressed, or a part of records."""
        return any(file.is_packed for file in self.files)


def left_out_text(counts: Mapping[str, int], names: Mapping[str, Iterable[str]]) -> str:
    """Say what was left out and why, in one line; empty for nothing."""
    parts = []
    for why in sorted(counts):
        shown = ", ".join(names.get(why, ()))
        more = counts[why] - len(list(names.get(why, ())))
        parts.append(f"{why}: {shown}{f' and {more:,} more' if more > 0 else ''}")
    return "; ".join(parts)


def find_text_files(
    name: str, folder: Path, most: int | None = None, *, own: OwnOutput = NOTHING, selection: Selection = BY_ENDING
) -> TextFiles:
    """Find the file or folder of text called `name`, relative to `folder`; errors as `data.corpus.resolve_corpus`.

    `most`: how much of a folder is looked at, for whoever only wants to say something about it. See `walk`.
    """
    try:
        path = path_meant(folder, name)
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero character in the name
        raise _missing(name, folder) from None
    except OSError as error:
        raise unreadable(Path(name), error) from error
    if stat.S_ISDIR(status.st_mode):
        if kind_of_output(path) == RUN:
            raise TricksterError(
                "corpus-is-a-run",
                f"{path} is the folder of a run: Trickster does not train on its own output.",
                "Name a text file, or a folder of text files.",
            )
        found, left_out = walk(path, lambda file: not_text(file, selection), own=own, most=most)
        found = without_descriptions(_without_copies(path, found, selection, left_out), path, left_out)
        files = tuple(_with_members(found, path, selection, left_out, most))
        if not any(file.size for file in files):
            raise nothing_taken(path, left_out)
        return TextFiles(name, "folder", path, files, left_out)
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(path, status)
    if own.is_config(path):
        raise TricksterError(
            "corpus-is-the-config",
            f"data_config.corpus names the config itself, {path}.",
            "Name a text file, or a folder of text files.",
        )
    if status.st_size == 0:
        raise TricksterError(
            "corpus-empty",
            f"The corpus {path} is empty.",
            "Add text: a model needs at least a few thousand characters, and learns well from a million.",
        )
    file = file_of(path, status)
    if file.format.is_foreign:
        raise TricksterError(
            "archive-unknown",
            f"{path} is an archive of a kind that Trickster does not read.",
            "Unpack it and name the folder, or make a zip archive of it.",
        )
    if file.format.records is not None and not selection.records:
        raise field_not_named(file, fields_in(file))
    if file.format.is_archive:
        left_out = LeftOut()
        files = tuple(_members_of(file, "", selection, left_out, most))
        if not files:
            raise nothing_taken(path, left_out)
        return TextFiles(name, "folder", path, files, left_out)
    return TextFiles(name, "file", path, (file,))


def _without_copies(
    root: Path, files: tuple[CorpusFile, ...], selection: Selection, left_out: LeftOut
) -> Iterator[CorpusFile]:
    """Leave out what lies there uncompressed as well, unless patterns ask for it."""
    plain = {file.path for file in files if not file.format.compression}
    for file in files:
        compression = file.format.compression
        if compression and not selection.include and file.path.with_suffix("") in plain:
            left_out.add("compressed copy of a file beside it", file.path.relative_to(root).as_posix())
        else:
            yield file


def _with_members(
    files: Iterable[CorpusFile], root: Path, selection: Selection, left_out: LeftOut, most: int | None
) -> Iterator[CorpusFile]:
    """Put the members of archives in the archives' places."""
    inside = replace(selection, include=())  # `exclude` wins inside them too
    for file in files:
        if file.size and file.format.is_archive:
            yield from _members_of(file, f"{file.path.relative_to(root).as_posix()}/", inside, left_out, most)
        else:
            yield file


def _members_of(
    archive: CorpusFile, prefix: str, selection: Selection, left_out: LeftOut, most: int | None
) -> Iterator[CorpusFile]:
    try:
        for entry, reason in members(archive.path, lambda path: not_text(path, selection), most):
            if reason is None:
                yield replace(archive, size=entry.file_size, member=entry.filename)
            else:
                left_out.add(reason, f"{prefix}{entry.filename}")
    except OSError as error:
        raise unreadable(archive.path, error) from error


def walk(
    root: Path,
    reason_against: Callable[[PurePath], str | None],
    *,
    skipped_folders: frozenset[str] = SKIPPED_FOLDERS,
    own: OwnOutput = NOTHING,
    most: int | None = None,
) -> tuple[tuple[CorpusFile, ...], LeftOut]:
    """Return regular files below `root`, in the order of their paths' parts, the same on every system.

    `reason_against` says why a file is left out, by its path below `root`; None where it is wanted.
    Links to folders are not followed, and what Trickster has written itself is not entered. Raises TricksterError:
    corpus-unreadable, and corpus-too-many-files where more than `most` entries of any kind would have to be looked at.
    """
    own = own.below(root)
    real_root = Path(os.path.normcase(os.path.realpath(root)))
    found: list[tuple[tuple[str, ...], CorpusFile]] = []
    left_out = LeftOut()
    folders, looked_at = [root], 0
    while folders:
        where = folders.pop()
        try:
            with os.scandir(where) as entries:
                for entry in entries:  # one by one: a folder may hold millions
                    looked_at += 1
                    if most is not None and looked_at > most:
                        raise TricksterError(
                            "corpus-too-many-files", f"{root} contains more than {most:,} files and folders.", ""
                        )
                    path = Path(entry.path)
                    relative = path.relative_to(root)
                    if entry.is_dir():
                        reason = _folder_reason(entry, real_root / os.path.normcase(relative), skipped_folders, own)
                        if reason is None:
                            folders.append(path)
                        else:
                            left_out.add(reason, f"{relative.as_posix()}/")
                        continue
                    reason = "hidden" if path.name.startswith(".") else reason_against(relative)
                    file = _file_in_folder(path) if reason is None else None
                    if reason is None:
                        reason = _file_reason(path, file, own)
                    if file is not None and reason in (None, "empty"):  # an empty one may not stay so
                        found.append((relative.parts, file))
                    if reason is not None:
                        left_out.add(reason, relative.as_posix())
        except OSError as error:
            raise unreadable(Path(error.filename or where), error) from error
    return tuple(file for _, file in sorted(found, key=lambda entry: entry[0])), left_out


def _folder_reason(entry: os.DirEntry[str], real: Path, skipped: frozenset[str], own: OwnOutput) -> str | None:
    if entry.name.startswith("."):
        return "hidden"
    if entry.name in skipped:
        return "of other programs"
    if entry.is_symlink():
        return "link to a folder"
    if real in own.folders:
        return "folder of runs"
    return kind_of_output(Path(entry.path))


def _file_reason(path: Path, file: CorpusFile | None, own: OwnOutput) -> str | None:
    if file is None:
        return "not a regular file" if os.path.exists(path) else "broken link"  # noqa: PTH110 - Path.exists may raise
    if file.size == 0:
        return "empty"
    return "config of Trickster" if own.is_config(path) or is_config(path, file.size) else None


def _file_in_folder(path: Path) -> CorpusFile | None:
    try:
        status = path.stat()
    except FileNotFoundError:  # a dangling link
        return None
    return file_of(path, status) if stat.S_ISREG(status.st_mode) else None


def file_now(path: Path) -> CorpusFile:
    """Return a file's size and times as they are now. Raises OSError."""
    return file_of(path, path.stat())


def file_of(path: Path, status: os.stat_result) -> CorpusFile:
    """Return a file by its status."""
    return CorpusFile(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def unreadable(path: Path, error: Exception) -> TricksterError:
    """Return the error for a file that exists but cannot be read."""
    why = reason(error) if isinstance(error, OSError) else str(error)
    advice = "Check that the file exists and that you may read it."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        advice = f"Allow yourself to read it, for example: chmod u+r {in_command(path)}"
    return TricksterError("corpus-unreadable", f"{path} cannot be read: {why}.", advice)


def _missing(name: str, folder: Path) -> TricksterError:
    close = difflib.get_close_matches(name, [*BUILT_IN_CORPORA, *_names_in(folder)], n=1, cutoff=0.75)
    hint = f"Did you mean {close[0]}? " if close else ""
    return TricksterError(
        "corpus-missing",
        f"There is no corpus {name!r} in {folder}.",
        f"{hint}data_config.corpus is shakespeare, python, or the path of a text file or a folder of text files,"
        " relative to the config's folder.",
    )


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def not_a_file(path: Path, status: os.stat_result) -> TricksterError:
    """Return the error for what is neither a file nor a folder."""
    return TricksterError(
        "corpus-not-a-file",
        f"{path} is neither a file nor a folder: it is a {kind_of(status)}.",
        "Point data_config.corpus at a text file or at a folder of text files.",
    )


def nothing_taken(path: Path, left_out: LeftOut) -> TricksterError:
    """Return the error for a folder without a text file, with what it holds instead."""
    holds = f" Skipped: {left_out.as_text()}." if left_out.total else " It is empty."
    return TricksterError(
        "corpus-no-text-files",
        f"The folder {path} contains no text files.{holds}",
        "Trickster reads .txt .md .json, source code and, with data_config.text_field, .jsonl .csv .parquet .arrow, "
        "each also as .gz .bz2 .xz .zst. Name others in data_config.include, such as '*.log', or one file as the "
        "corpus.",
    )
