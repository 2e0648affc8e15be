"""`data_config.include` and `exclude`: patterns for the files of a folder, matched on their paths below it."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


def pattern_error(pattern: str) -> str | None:
    """Say what is wrong with a pattern; None for nothing."""
    if "\\" in pattern:
        return "a backslash separates nothing here: write / on every system"
    if pattern.startswith(("/", "./", "../", "~")) or "/../" in pattern:
        return "a pattern is matched on the path below the corpus, which begins with a name: notes/*.txt"
    if not pattern.strip("/"):
        return "it is empty"
    return None


def matches(pattern: str, path: str) -> bool:
    """Whether a path with `/` fits a pattern; capitals count on every system.

    `*` and `?` stay within a name, `**` is any number of folders, `[abc]` one of some characters. A pattern without a
    slash is one for names, in any folder, as in `.gitignore`; one that ends in a slash means all that is below.
    """
    if pattern.endswith("/"):
        pattern += "**"
    wanted = pattern.split("/") if "/" in pattern else ["**", pattern]
    at = {0}  # how many parts of the pattern may have been used up
    for part in path.split("/"):
        at = {
            after
            for number in _beyond_stars(at, wanted)
            if number < len(wanted)
            for after in ((number,) if wanted[number] == "**" else (number + 1,))
            if wanted[number] == "**" or fnmatchcase(part, wanted[number])
        }
    # What ends in `**` means what is below a folder, not the folder's own name.
    return len(wanted) in _beyond_stars(at, wanted)


def _beyond_stars(at: set[int], wanted: list[str]) -> set[int]:
    """The same places, and those behind each `**` there, which may stand for nothing."""
    found = set(at)
    for number, part in enumerate(wanted):
        if number in found and part == "**":
            found.add(number + 1)
    return found


@dataclass(frozen=True)
class Selection:
    """Which files of a folder are text: by patterns, or by their endings where there are none."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    records: bool = False  # whether a text field is named, so that files of records can be read

    def includes(self, path: str) -> bool | None:
        """Whether a path is asked for by a pattern; None where nothing is asked for."""
        return any(matches(pattern, path) for pattern in self.include) if self.include else None

    def excludes(self, path: str) -> bool:
        """Whether a path is ruled out by a pattern."""
        return any(matches(pattern, path) for pattern in self.exclude)


BY_ENDING = Selection()
