"""Text that anybody may have written, made fit for a screen."""

from __future__ import annotations

import re

_DOT = "\N{MIDDLE DOT}"
#: Without a look of their own, and part of ordinary text all the same: spaces of all widths, and what joins letters.
_KEPT = frozenset("\n\t\N{SOFT HYPHEN}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}")
_UNUSUAL = re.compile(r"[^\n\t\x20-\x7e]")


def printable(text: str) -> str:
    """The text with a middle dot for every character that has no look of its own.

    Random weights write control characters, and a corpus, a name or a file may hold them on purpose: they would ring a
    terminal's bell, move its cursor, set its title or colours, or turn the direction of writing.
    """
    return _UNUSUAL.sub(lambda found: found[0] if _is_shown(found[0]) else _DOT, text)


def printable_text(text: str) -> str:
    """The same for text of a corpus or a model, where every kind of line end is one."""
    return printable(line_ends(text))


def line_ends(text: str) -> str:
    """The text with one LF for each CR LF and each single CR."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def escaped_json(document: str) -> str:
    """A JSON document of the same value, in which each such character is spelled as an escape."""
    return _UNUSUAL.sub(lambda found: found[0] if _is_shown(found[0]) else _escape(found[0]), document)


def _is_shown(character: str) -> bool:
    if character in _KEPT or (character.isspace() and character > "\xa0" and character not in "\u2028\u2029"):
        return True
    return character == "\xa0" or (character.isprintable() and character != "\N{REPLACEMENT CHARACTER}")


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
