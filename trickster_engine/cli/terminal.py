"""The one door to the terminal: whatever the command line says goes through it, made fit for a screen.

Names of files and runs, corpus text, samples, messages in the files of a run and in errors may all hold control
characters. They are replaced here, also where the output is piped, which often ends on a terminal (`| less -R`). Text
that is asked for as such, a sample or a config, goes to a file or another program as it is; JSON spells them as
escapes. So does JSON with what an old terminal has no sign for; elsewhere something near takes its place, or a `?`.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from trickster_engine.system.printable import escaped_json, line_ends, printable

#: What our own words and drawings use beyond ASCII -> what stands for it in a code page without it.
_NEAR = {
    "\N{MIDDLE DOT}": ".", "\N{HORIZONTAL ELLIPSIS}": "...", "\N{EN DASH}": "-", "\N{EM DASH}": "-",
    "\N{RIGHTWARDS ARROW}": "->", "\N{DOWNWARDS ARROW WITH TIP RIGHTWARDS}": ">", "\N{MULTIPLICATION SIGN}": "x",
    "\N{GREATER-THAN OR EQUAL TO}": ">=", "\N{LESS-THAN OR EQUAL TO}": "<=", "\N{ALMOST EQUAL TO}": "~",
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"', "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip


def _near(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_NEAR.get(character, "?") for character in error.object[error.start : error.end]), error.end


codecs.register_error("trickster-near", _near)


class _Shown:
    """A standard stream that writes only what has a look."""

    def __init__(self, inner: TextIO) -> None:
        self.inner = inner
        self._after_return = False

    def write_sample(self, piece: str) -> None:
        """Write a text that comes in pieces, its line ends as line ends: a lone CR would write over the line."""
        rest = piece[1:] if self._after_return and piece.startswith("\n") else piece
        self._after_return = piece.endswith("\r")
        self.write(line_ends(rest))

    def write(self, text: str) -> int:
        # A progress bar begins and ends with a carriage return. Within a text it would write over what stands there.
        body = text.strip("\r")
        before, after = len(text) - len(text.lstrip("\r")), len(text) - len(text.rstrip("\r"))
        shown = printable(body.replace("\r\n", "\n"))
        self.inner.write("\r" * before + shown + "\r" * (after if body else 0))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def take_over_standard_streams() -> None:
    """Have everything that is printed from now on go through the door."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Shown):
            continue
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="trickster-near")
        setattr(sys, name, cast(TextIO, _Shown(stream)))


def write_exactly(text: str) -> None:
    """Write what was asked for to standard output: to a terminal what can be shown, elsewhere the text itself."""
    stream: Any = sys.stdout
    if not isinstance(stream, _Shown):
        stream.write(text)
    elif stream.isatty():
        stream.write_sample(text)
    else:
        stream = stream.inner
        if isinstance(stream, io.TextIOWrapper) and "PYTHONIOENCODING" not in os.environ:
            stream.reconfigure(encoding="utf-8", errors="replace")  # as configs are read, whatever the code page is
        stream.write(text)


def json_text(value: Any, indent: int | None = None) -> str:
    """A JSON document that reads well, and is exact on any terminal."""
    document = escaped_json(json.dumps(value, indent=indent, ensure_ascii=False))
    try:
        document.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return document
