"""The words for text that is no text: where it stops being one, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from trickster_engine.config.corpus_files import CorpusFile
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import in_command
from trickster_engine.system.unpacking import open_unpacked, shown_name


def binary(path: Path, offset: int, member: str = "") -> TricksterError:
    """Return the error for a file with a zero byte in it."""
    return TricksterError(
        "corpus-binary",
        f"{shown_name(path, member)} is not a text file: it has a zero byte at offset {offset:,}.",
        "Point data_config.corpus at plain text saved as UTF-8. A PDF, a word processor's file or an archive has to be"
        " exported as text first.",
    )


def binary_record(place: str) -> TricksterError:
    """Return the error for a record whose text has a zero character."""
    return TricksterError(
        "corpus-binary", f"{place}: the text has a zero character.", "Correct the record, or remove it."
    )


def not_utf8(path: Path, offset: int, value: int, encoding: str | None = None, member: str = "") -> TricksterError:
    """Return the error for a file in another encoding, told by its byte order mark or seen at an offset."""
    shown, packed = shown_name(path, member), _is_packed(path, member)
    name = Path(member or path.name)
    old, new = in_command(Path(name.name)), in_command(Path(f"{name.stem}-utf8.txt"))
    if encoding is not None:
        return TricksterError(
            "corpus-not-utf8",
            f"{shown} is not UTF-8: it begins with the byte order mark of {encoding}.",
            "Unpack it and save it as UTF-8."
            if packed
            else f"Save it as UTF-8, for example: iconv -f {encoding[:6]} -t UTF-8 {old} > {new}",
        )
    return TricksterError(
        "corpus-not-utf8",
        f"{shown} is not UTF-8: byte 0x{value:02x} at byte offset {offset:,} (line {_line_of(path, offset, member):,}) "
        "is not part of any character.",
        "Unpack it and save it as UTF-8. If it is an older Western text: iconv -f WINDOWS-1252 -t UTF-8"
        if packed
        else f"Save it as UTF-8. If it is an older Western text: iconv -f WINDOWS-1252 -t UTF-8 {old} > {new}",
    )


def not_utf8_line(file: CorpusFile, number: int, line: bytes, error: UnicodeDecodeError) -> TricksterError:
    """Return the error for a line of records in another encoding."""
    for marks, encoding in (((b"\xff\xfe", b"\xfe\xff"), "UTF-16"),):
        if number == 1 and line.startswith(marks):
            return not_utf8(file.path, 0, line[0], encoding, file.member)
    return TricksterError(
        "corpus-not-utf8",
        f"{file.shown} is not UTF-8: byte 0x{line[error.start]:02x} in line {number:,}, byte {error.start + 1:,} of "
        "it, is not part of any character.",
        "Save the file as UTF-8, or correct the line: files put together from several sources may mix encodings.",
    )


def _is_packed(path: Path, member: str) -> bool:
    return bool(member) or path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst")


def _line_of(path: Path, offset: int, member: str) -> int:
    """Count lines up to a byte offset; only ever called to word an error."""
    lines, left = 1, offset
    with open_unpacked(path, member) as stream:
        while left > 0 and (data := stream.read(min(left, 1 << 20))):
            lines += data.count(b"\n")
            left -= len(data)
    return lines
