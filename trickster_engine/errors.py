"""The one exception meant for people: what happened, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: Exit codes beside 0 (done), 1 (an error in the input) and 2 (the command line).
EXIT_STOPPED = 3
EXIT_TRAINING_FAILED = 4


class TricksterError(Exception):
    """Something that the person at the keyboard can fix.

    The command line prints `message`, `code` and `advice` and exits with `exit_code`; it never shows a traceback for
    one of these. `code` is stable and short (for example `corpus-missing`), for programs and for tests.
    """

    def __init__(self, code: str, message: str, advice: str, exit_code: int = 1) -> None:
        super().__init__(code, message, advice, exit_code)  # all four, so that it survives pickling between processes
        self.code = code
        self.message = message
        self.advice = advice
        self.exit_code = exit_code

    def __str__(self) -> str:
        """Return the message and, where there is one, the advice on a line of its own."""
        return f"{self.message}\n{self.advice}" if self.advice else self.message


_PRINTED = re.compile(r"error: (?P<message>.*?)(?: \[(?P<code>[a-z0-9-]+)\])?")


def printed_error(lines: Sequence[str]) -> TricksterError | None:
    """The last error among lines that the command line has printed: `error: … [code]` and the advice after it."""
    for index in range(len(lines) - 1, -1, -1):
        if found := _PRINTED.fullmatch(lines[index]):
            advice = "\n".join(line.strip() for line in lines[index + 1 :])
            return TricksterError(found["code"] or "", found["message"], advice)
    return None
