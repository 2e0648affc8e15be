"""Which members of a zip archive are text, and why the others are left out. Nothing is unpacked here."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from trickster_engine.config.file_formats import format_of
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import open_plain
from trickster_engine.system.unpacking import encrypted, open_archive, shown_name

#: Folders that hold other people's files or none of the user's text.
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "__MACOSX"})
_LISTED_BYTES = 64 << 20  # of an archive that is listed only to say something about it


def members(
    archive: Path, reason_against: Callable[[PurePath], str | None], most: int | None = None
) -> Iterator[tuple[zipfile.ZipInfo, str | None]]:
    """Yield the files of a zip archive in the order of their paths' parts, each with why it is left out; None for text.

    Raises OSError, and TricksterError: archive-damaged, archive-encrypted, and corpus-too-many-files where there are
    more than `most` entries, or where the archive is too large to list for somebody who will not wait.
    """
    with open_plain(archive, follow_links=True) as raw:
        too_many = TricksterError("corpus-too-many-files", f"{archive} is a large archive.", "")
        if most is not None and raw.seek(0, 2) > _LISTED_BYTES:
            raise too_many
        with open_archive(raw, str(archive)) as opened:
            entries = opened.infolist()
    if most is not None and len(entries) > most:
        raise too_many
    seen: set[str] = set()
    for entry in sorted(entries, key=lambda entry: PurePosixPath(entry.filename).parts):
        if not entry.is_dir():
            reason = _reason(entry, reason_against) or ("second of its name" if entry.filename in seen else None)
            if reason is None and entry.flag_bits & 1:
                raise encrypted(shown_name(archive, entry.filename))
            seen.add(entry.filename)
            yield entry, reason


def _reason(entry: zipfile.ZipInfo, reason_against: Callable[[PurePath], str | None]) -> str | None:
    path = PurePosixPath(entry.filename)
    if any(part.startswith(".") for part in path.parts):
        return "hidden"
    if any(part in SKIPPED_FOLDERS for part in path.parts[:-1]):
        return "of other programs"
    if format_of(path.name).is_archive:
        return "archive in an archive"
    return reason_against(path) or ("empty" if entry.file_size == 0 else None)
