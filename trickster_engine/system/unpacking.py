"""Compressed files and members of zip archives as streams of bytes: never whole in memory, never written to disk.

gzip, bzip2, xz and zip come from the standard library; zstd does from Python 3.14 on, and from `backports.zstd`, which
is the same module, before. What is damaged or cut short is an error in all of them.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command, open_plain

#: Endings of compressed files.
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_INPUT_BYTES = 1 << 17
_XZ_MEMORY = 512 << 20  # bytes; xz -9 needs 65 MiB
# Text shrinks to a third or a tenth, and a log of one line repeated to a hundredth. What grows further than this is
# made to fill a disk. Small files are let through: nothing is filled by them.
_MOST_TIMES = 300
_HARMLESS_BYTES = 1 << 30
_DAMAGED = (EOFError, zlib.error, zipfile.BadZipFile)
_DAMAGED_NAMES = ("LZMAError", "ZstdError")  # of modules that are loaded when they are needed


def compression_of(name: str) -> str:
    """The ending that says how a file is compressed; empty for none."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


def shown_name(path: Path, member: str = "") -> str:
    """A file, or a member of an archive, as messages name it: `texts.zip/chapter-1.txt`."""
    return f"{path}/{member}" if member else str(path)


def open_unpacked(path: Path, member: str = "", *, advance: Callable[[int], None] | None = None) -> BinaryIO:
    """Open a file, or a member of a zip archive, to read what it holds once it is decompressed.

    Compressed by the name's ending. `advance` is told of the file's bytes, or the member's, as they are read.
    Reading raises TricksterError: archive-damaged, archive-encrypted, archive-grows (made to fill a disk) and
    format-needs-package, and OSError where the file itself cannot be read.
    """
    shown = shown_name(path, member)
    raw = open_plain(path, follow_links=True)
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    try:
        stream: Any = _member(raw, member, shown, _command(path, member)) if member else raw
        compression = compression_of(member or path.name)
        if not compression and not member and advance is None:
            return raw
        if compression:
            stream = _decompressing(stream, compression, shown)
        guarded = _Guarded(stream, raw, shown, _command(path, member), size, advance, by_output=bool(member))
        return io.BufferedReader(guarded, _INPUT_BYTES)
    except BaseException:
        raw.close()
        raise


def zstd_module() -> Any:
    """The module that reads zstd. Raises ImportError."""
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def needs_package(what: str, package: str) -> TricksterError:
    """The error for a format that an optional package reads, with the command that installs it."""
    return TricksterError(
        "format-needs-package",
        f"{what} needs the package {package}, which is not installed here.",
        f'Install it: {in_command(sys.executable)} -m pip install "{package}"',
    )


def open_archive(raw: BinaryIO, shown: str) -> zipfile.ZipFile:
    """Open a zip archive to read. Raises TricksterError `archive-damaged`."""
    try:
        return zipfile.ZipFile(raw)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise damaged(shown, str(error), f"unzip -t {in_command(shown)}") from error


def largest_from(size: int) -> int:
    """The bytes that `size` bytes on the disk may unpack to."""
    return max(_HARMLESS_BYTES, _MOST_TIMES * size)


def archive_grows(shown: str) -> TricksterError:
    """The error for what unpacks to more than text does."""
    return TricksterError(
        "archive-grows",
        f"{shown} holds more than {_MOST_TIMES} times its own size: it looks made to fill a disk.",
        "If that is really your text, decompress it yourself and name the result.",
    )


def damaged(shown: str, why: str, command: str) -> TricksterError:
    """The error for an archive that cannot be read to its end."""
    return TricksterError(
        "archive-damaged",
        f"{shown} is damaged or incomplete: {why.rstrip('.') or 'it does not unpack'}.",
        f"Copy or download it again. To test it: {command}",
    )


def _command(path: Path, member: str) -> str:
    tools = {"": "file", ".gz": "gzip -t", ".bz2": "bzip2 -t", ".xz": "xz -t", ".zst": "zstd -t"}
    return f"{'unzip -t' if member else tools[compression_of(path.name)]} {in_command(path)}"


_kept: ContextVar[list[tuple[object, zipfile.ZipFile]] | None] = ContextVar("kept archives", default=None)


@contextlib.contextmanager
def archives_kept_open() -> Iterator[None]:
    """Meanwhile, an archive whose members are read one after the other is listed once."""
    kept: list[tuple[object, zipfile.ZipFile]] = []
    token = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(token)
        for _, archive in kept:
            archive.close()


def _listed(raw: BinaryIO, shown: str) -> zipfile.ZipFile:
    kept = _kept.get()
    if kept is None:
        return open_archive(raw, shown)
    status = os.fstat(raw.fileno())
    identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    if not kept or kept[0][0] != identity:
        if kept:
            kept.pop()[1].close()
        own = os.fdopen(os.dup(raw.fileno()), "rb")
        try:
            kept.append((identity, open_archive(own, shown)))
        except BaseException:
            own.close()
            raise
    return kept[0][1]


def _member(raw: BinaryIO, member: str, shown: str, command: str) -> BinaryIO:
    archive = _listed(raw, shown)
    try:
        return archive.open(member)  # type: ignore[return-value]
    except RuntimeError as error:  # what zipfile raises for a password
        raise encrypted(shown) from error
    except KeyError:
        raise damaged(shown, "the archive has no such member any more", command) from None
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise damaged(shown, str(error), command) from error


def encrypted(shown: str) -> TricksterError:
    """The error for what only a password opens."""
    return TricksterError(
        "archive-encrypted",
        f"{shown} is encrypted.",
        "Unpack the archive with its password and name the folder, or leave the file out: data_config.exclude.",
    )


def _decompressing(stream: Any, compression: str, shown: str) -> Any:
    if compression == ".gz":
        return gzip.GzipFile(fileobj=stream)
    try:
        if compression == ".bz2":
            make = importlib.import_module("bz2").BZ2Decompressor
        elif compression == ".xz":
            make = partial(importlib.import_module("lzma").LZMADecompressor, memlimit=_XZ_MEMORY)
        else:
            make = zstd_module().ZstdDecompressor  # takes no more than 128 MiB for its window
    except ImportError:
        if compression == ".zst":
            raise needs_package(f"{shown} is compressed with zstd: it", "backports.zstd") from None
        raise TricksterError(
            "format-needs-package",
            f"{shown} cannot be read: this Python was built without {compression[1:]}.",
            "Decompress the file, or use another Python.",
        ) from None
    return _Decompressing(stream, make)


class _Decompressing(io.RawIOBase):
    """Streams that follow one another, through decompressors that share one interface: bz2, lzma, zstd."""

    def __init__(self, stream: BinaryIO, make: Callable[[], Any]) -> None:
        self._stream = stream
        self._make = make
        self._decompressor: Any = make()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read at least a byte, or 0 at the end. Raises EOFError where a stream is cut short."""
        with memoryview(buffer) as view:
            while True:
                decompressor, data = self._decompressor, b""
                if decompressor.eof:
                    data = decompressor.unused_data.lstrip(b"\0")  # zeros pad the end of some archives
                    while not data and (more := self._stream.read(_INPUT_BYTES)):
                        data = more.lstrip(b"\0")
                    if not data:
                        return 0
                    self._decompressor = decompressor = self._make()
                elif decompressor.needs_input:
                    data = self._stream.read(_INPUT_BYTES)
                    if not data:
                        raise EOFError("it ends in the middle of its data")
                found = decompressor.decompress(data, max_length=len(view))
                if found:
                    view[: len(found)] = found
                    return len(found)


class _Guarded(io.RawIOBase):
    """Says what is wrong with an archive in words, and reads no more of one that was made to fill a disk."""

    def __init__(
        self,
        stream: Any,
        raw: BinaryIO,
        shown: str,
        command: str,
        size: int,
        advance: Callable[[int], None] | None,
        *,
        by_output: bool,
    ) -> None:
        self._stream = stream
        self._raw = raw
        self._shown = shown
        self._command = command
        self._most = largest_from(size)
        self._read = 0
        self._advance = advance
        self._by_output = by_output  # a member's size is told unpacked
        self._told = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readinto(self, buffer: Any) -> int:
        """Read some. Raises what `open_unpacked` says."""
        try:
            count = int(self._stream.readinto(buffer))
        except _DAMAGED as error:
            raise damaged(self._shown, _words(error), self._command) from error
        except OSError as error:
            if error.errno is not None:  # of the file system
                raise
            raise damaged(self._shown, str(error), self._command) from error
        except Exception as error:
            if type(error).__name__ not in _DAMAGED_NAMES:
                raise
            raise damaged(self._shown, str(error), self._command) from error
        self._read += count
        if self._read > self._most:
            raise archive_grows(self._shown)
        if self._advance is not None:
            now = self._read if self._by_output else self._raw.tell()
            self._advance(now - self._told)
            self._told = now
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._raw.close()
        super().close()


def _words(error: Exception) -> str:
    return "it ends in the middle of its data" if isinstance(error, EOFError) else str(error)
