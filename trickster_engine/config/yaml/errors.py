"""What is wrong where YAML cannot be read, in plain words, with what mends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import yaml

from trickster_engine.config.keys.names import KNOWN_NAMES, SECTION_NAMES, TEXT_NAMES
from trickster_engine.config.problems import Edit, Fix, Position, Problem, Range
from trickster_engine.config.yaml.scalars import shown
from trickster_engine.config.yaml.text import Lines

_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*")
_NAME_AND_COLON: Final = re.compile(r"[\w.\"'-]+[ \t]*:(?=\s|$)")
_NAME_AND_TEXT: Final = re.compile(r"\s*(\w+):[ \t]+(\S.*?)[ \t]*")
_WORD_AND_VALUE: Final = re.compile(r"([A-Za-z_]\w*)[ \t]+\S")


class SyntaxTrouble(Exception):
    """YAML cannot be read beyond this point. `lines` are those that may be to blame, likeliest first."""

    def __init__(self, problem: Problem, lines: tuple[int, ...], *, hopeless: bool = False):
        super().__init__(problem.message)
        self.problem = problem
        self.lines = lines
        self.hopeless = hopeless  # leaving lines out would not help


def usual_indent(lines: list[str], index: int) -> str:
    """Return the spaces that the nearest line before `index` is indented by; two when there is none."""
    for line in reversed(lines[1:index]):
        body = line.lstrip(" ")
        if body.strip() and body[0] not in "#\t" and body != line:
            return " " * (len(line) - len(body))
    return "  "


def trouble_from(error: yaml.MarkedYAMLError, lines: Lines, position: Callable[[object], Position]) -> SyntaxTrouble:
    """Turn an error of PyYAML into one that says what to do."""
    problem_at = position(error.problem_mark) if error.problem_mark else None
    context_at = position(error.context_mark) if error.context_mark else None
    at = problem_at or context_at or Position(0, 0)
    start = context_at or at
    said = str(error.problem or "")
    context = str(error.context or "")
    line = lines.line(at.line)
    indent = line[: len(line) - len(line.lstrip(" \t"))]

    if "\t" in indent and at.character <= len(indent):
        return _tab(at.line, lines)
    if "could not find expected ':'" in said:
        where = _rest_of_line(lines, start)
        problem = missing_colon(where, lines.line(start.line), second_line=_is_second_line(lines, start.line))
        return SyntaxTrouble(problem, (start.line, at.line))
    if "quoted scalar" in context and ("end of stream" in said or "document indicator" in said):
        where = _rest_of_line(lines, start)
        mark = lines.line(start.line)[start.character : start.character + 1]
        message = f"The quote {mark} that opens here is never closed. Add one at the end of the text."
        fix = Fix(f"Close the quote with {mark}", (Edit(Range(where.end, where.end), mark),))
        return SyntaxTrouble(Problem("yaml-unclosed", "error", message, where, (fix,)), (start.line, at.line))
    for bracket, opening in (("]", "["), ("}", "{")):
        if f"',' or '{bracket}'" in said:
            where = _rest_of_line(lines, start)
            message = f"The bracket {opening} that opens here is not closed, or a comma is missing. End with {bracket}."
            fix = Fix(f"Close with {bracket}", (Edit(Range(where.end, where.end), bracket),))
            problem = Problem("yaml-unclosed", "error", message, where, (fix,))
            return SyntaxTrouble(problem, (start.line, at.line))
    if "mapping values are not allowed" in said or "expected key" in said or "expected <block end>" in said:
        return _indentation_or_colon(at, lines, start)
    if "<document start>" in said and (columns := _indented_sections(at, lines)) is not None:
        return SyntaxTrouble(columns, (at.line, start.line))
    if "cannot start any token" in said:
        character = line[at.character : at.character + 1]
        where = _rest_of_line(lines, at)
        first = shown(character) if character else "this"
        message = f"No value can start with {first}. Put quotes around it if it is meant as text."
        fixes = _quoting(lines, where)
        return SyntaxTrouble(Problem("yaml-syntax", "error", message, where, fixes), (at.line,))
    if "escape" in said or "hexdecimal" in said or "hexadecimal" in said:
        backslash = max(at.character - 1, 0)  # what follows it is marked
        where = Range(Position(at.line, backslash), Position(at.line, min(backslash + 2, len(line))))
        message = "Between double quotes a backslash starts an escape such as \\n. Write \\\\ for a backslash itself."
        fix = Fix("Double the backslash", (Edit(Range(where.start, where.start), "\\"),))
        return SyntaxTrouble(Problem("yaml-syntax", "error", message, where, (fix,)), (at.line, start.line))
    where = _rest_of_line(lines, at)
    message = f"YAML cannot be parsed from here: {shown(said, 120) if said else 'unknown reason'}."
    return SyntaxTrouble(
        Problem("yaml-syntax", "error", message, where), (where.start.line, at.line, start.line, at.line - 1)
    )


def trouble_at(at: Position, lines: Lines, said: str) -> SyntaxTrouble:
    """Return the trouble for an error that names no place: it lies behind `at`."""
    where = _rest_of_line(lines, at)
    first_line = said.strip().splitlines()[0] if said.strip() else "unknown reason"
    message = f"YAML cannot be parsed from here: {shown(first_line, 120)}."
    return SyntaxTrouble(Problem("yaml-syntax", "error", message, where), (at.line, at.line + 1))


def _tab(line_number: int, lines: Lines) -> SyntaxTrouble:
    line = lines.line(line_number)
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    where = Range(Position(line_number, 0), Position(line_number, len(indent)))
    before = [lines.line_with_end(number) for number in range(max(0, line_number - 50), line_number)]
    spaces = usual_indent(["", *before], len(before) + 1)
    message = "This line is indented with a tab. YAML only allows spaces; use two."
    fix = Fix("Indent with spaces", (Edit(where, spaces),), preferred=True)
    return SyntaxTrouble(Problem("yaml-tab", "error", message, where, (fix,)), (line_number,))


def missing_colon(where: Range, line: str, *, second_line: bool = False) -> Problem:
    """Return the problem of a line without a colon. `where` starts at its first word, `line` is its text.

    `second_line`: it may belong to the text above.
    """
    content = line.strip()
    match = _WORD_AND_VALUE.match(content)
    fixes: tuple[Fix, ...] = ()
    name = match.group(1) if match else content if _NAME.fullmatch(content) else None
    known = name in KNOWN_NAMES
    if name is not None:
        at = Position(where.start.line, where.start.character + len(name)) if match else where.end
        fixes = (Fix(f"Write `{name}:`", (Edit(Range(at, at), ":"),), preferred=known),)
    message = "This line is neither `name: value` nor a comment. Is the colon missing?"
    if second_line and not known:
        message = "This line has no name. Is it the second line of the text above? That text then needs quotes."
    return Problem("yaml-missing-colon", "error", message, where, fixes)


def _is_second_line(lines: Lines, number: int) -> bool:
    """Return whether a line may be the second one of the text above it."""
    above = _NAME_AND_TEXT.fullmatch(lines.line(number - 1))
    return above is not None and above.group(1) in TEXT_NAMES


def _indentation_or_colon(at: Position, lines: Lines, start: Position) -> SyntaxTrouble:
    """Both a wrong indentation and a colon too many end in the same errors: the line before tells which it was."""
    line = lines.line(at.line)
    body = line.lstrip(" ")
    indent = len(line) - len(body)
    previous = _line_before(lines, at.line)
    if previous is not None:
        before = lines.line(previous)
        body_before = before.lstrip(" ")
        indent_before = len(before) - len(body_before)
        opens = body_before.split(" #")[0].rstrip().endswith(":")
        bare_name = _NAME.fullmatch(body_before.strip()) and indent > indent_before
        if bare_name or (":" not in body_before and indent == indent_before and _WORD_AND_VALUE.match(body_before)):
            name = _rest_of_line(lines, Position(previous, indent_before))
            return SyntaxTrouble(missing_colon(name, before), (previous, at.line))
        if indent != indent_before and not opens and body.strip():
            where = Range(Position(at.line, 0), Position(at.line, indent)) if indent else _rest_of_line(lines, at)
            deeper = "further" if indent > indent_before else "less far"
            message = (
                f"This line is indented {deeper} than the one above it ({indent} and {indent_before} spaces), "
                "so it belongs to no section. Keys of one section start in the same column."
            )
            edits = tuple(
                Edit(Range(Position(number, 0), Position(number, indent)), " " * indent_before)
                for number in _lines_alike(lines, at.line, indent)
            )
            # A section belongs to the margin and a key does not; of anything else nothing is known.
            word = _NAME.match(body)
            fits = word is not None and word.group() in (KNOWN_NAMES if indent_before else SECTION_NAMES)
            fits = fits and _NAME_AND_COLON.match(body_before) is not None
            fix = Fix(f"Indent by {indent_before} spaces", edits, preferred=fits)
            problem = Problem("yaml-indentation", "error", message, where, (fix,))
            return SyntaxTrouble(problem, (at.line, start.line))
    where = _rest_of_line(lines, Position(at.line, indent))
    match = re.match(r"\s*[^\s:]+:\s+(?=\S)", line)
    if match and match.end() <= at.character:
        value = _rest_of_line(lines, Position(at.line, match.end()))
        message = "A second colon makes this line invalid. Put quotes around a text that contains `: `."
        problem = Problem("yaml-syntax", "error", message, value, _quoting(lines, value))
        return SyntaxTrouble(problem, (at.line,))
    message = (
        "This line does not match the lines above it. Keys of one section start in the same column, with `name: value`."
    )
    return SyntaxTrouble(Problem("yaml-indentation", "error", message, where), (at.line, start.line, at.line - 1))


def _lines_alike(lines: Lines, first: int, indent: int) -> list[int]:
    """Return a line and those right below it that are indented as far, comments and all."""
    found = []
    for number in range(first, len(lines)):
        line = lines.line(number)
        if line.strip():
            if len(line) - len(line.lstrip(" ")) != indent or (number > first and not indent):
                break
            found.append(number)
    return found


def _indented_sections(at: Position, lines: Lines) -> Problem | None:
    """Return the problem of a section at the margin below sections that are indented; None where it is another."""
    above = [number for number in range(at.line) if lines.line(number).strip()]
    content = [number for number in above if not lines.line(number).lstrip().startswith("#")]
    indents = {number: len(lines.line(number)) - len(lines.line(number).lstrip(" ")) for number in above}
    least = min((indents[number] for number in content), default=0)
    if at.character or not least or indents[content[0]] != least:
        return None
    where = _rest_of_line(lines, Position(at.line, 0))
    message = (
        f"This section starts in the first column, and those above it are indented by {least} spaces. All sections "
        "start in the same column."
    )
    edits = tuple(
        Edit(Range(Position(number, 0), Position(number, min(indents[number], least))), "")
        for number in above
        if indents[number]
    )
    fix = Fix("Move the sections above to the first column", edits, preferred=True)
    return Problem("yaml-indentation", "error", message, where, (fix,))


def _line_before(lines: Lines, number: int) -> int | None:
    """Return the nearest line above that is neither blank nor a comment."""
    for candidate in range(number - 1, max(-1, number - 200), -1):
        content = lines.line(candidate).strip()
        if content and not content.startswith("#"):
            return candidate
    return None


def _rest_of_line(lines: Lines, at: Position) -> Range:
    """Return the range from a position to the end of its line's text; never empty where the file has any text."""
    number = min(at.line, len(lines) - 1)
    while number > 0 and not lines.line(number).strip():
        number -= 1
    line = lines.line(number)
    end = len(_without_comment(line).rstrip())
    if number == at.line and at.character < end:
        return Range(Position(number, at.character), Position(number, end))
    return Range(Position(number, min(len(line) - len(line.lstrip()), end)), Position(number, end))


def _without_comment(line: str) -> str:
    match = re.search(r"(?:^|\s)#", line)
    before = line[: match.start()] if match else line
    return before if before.strip() else line


def _quoting(lines: Lines, where: Range) -> tuple[Fix, ...]:
    """Return the fix that puts quotes around a value; it is certain where the key takes any text."""
    text = lines.slice(where)
    before = _NAME_AND_TEXT.match(lines.line(where.start.line))
    is_value = before is not None and before.start(2) == where.start.character
    if not is_value or before is None or not text or any(sign in text for sign in "'\"\\"):
        return ()
    return (Fix("Put quotes around it", (Edit(where, f'"{text}"'),), preferred=before.group(1) in TEXT_NAMES),)
