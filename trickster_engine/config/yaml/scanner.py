"""PyYAML's reader as it is everywhere: without the faster libyaml, which an interpreter may have or not.

The two differ in what they take for an error, and a config must mean the same in the editor and in the trainer. PyYAML
itself reads no tab behind a value; here tabs are blanks wherever YAML 1.2 has them so, which is everywhere but in the
indentation of a line with content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

_ENDS = "\r\n\x85\u2028\u2029\0"


def events(text: str) -> Iterator[Any]:
    """Yield the events of a text. Raises yaml.YAMLError where it cannot be read on."""
    loader: Any = _Loader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def scan_to_next_token(self) -> None:
        """Skip blanks, comments and line ends."""
        if self.index == 0 and self.peek() == "\ufeff":
            self.forward()
        while True:
            may_indent = self.allow_simple_key and not self.flow_level
            self.forward(self._blanks(" " if may_indent else " \t"))
            if self.peek() == "#":
                length = 0
                while self.peek(length) not in _ENDS:
                    length += 1
                self.forward(length)
            if not self._line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str] | None:
        """Read the blanks and line ends within a plain scalar; return what they mean, None before a new document."""
        length = 0
        while self.peek(length) in (" ", "\t"):
            length += 1
        blanks = self.prefix(length)
        self.forward(length)
        if self.peek() == "\0" or self.peek() not in _ENDS:
            return [blanks] if blanks else []
        first = self._line_break()
        self.allow_simple_key = True
        more: list[str] = []
        while not self._at_document_mark():
            self.forward(self._blanks(" "))
            if self.column >= indent:
                self.forward(self._blanks(" \t"))
            if self.peek() == "\0" or self.peek() not in _ENDS:
                joint = [first] if first != "\n" else [] if more else [" "]
                return [*joint, *more]
            more.append(self._line_break())
        return None

    def _blanks(self, allowed: str) -> int:
        """Count the blanks ahead; where nothing but a comment follows them on the line, tabs are blanks in any case."""
        length = 0
        while self.peek(length) in (" ", "\t"):
            length += 1
        if self.peek(length) == "#" or self.peek(length) in _ENDS:
            return length
        length = 0
        while self.peek(length) in tuple(allowed):
            length += 1
        return length

    def _line_break(self) -> str:
        """Step over a line end; return what it stands for, nothing where there is none."""
        scanner: Any = self
        return str(scanner.scan_line_break())

    def _at_document_mark(self) -> bool:
        return self.column == 0 and self.prefix(3) in ("---", "...") and self.peek(3) in " \t" + _ENDS
